//! Why a call to a provider has no result.

/// Why a call to a provider has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The provider refused: nothing was done, and will not be if asked again. `code` is the provider's, or `http_400`.
    #[error("{text}")]
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's words, without secrets.
        text: String,
    },
    /// It knows no such thing.
    #[error("the provider knows no {0}")]
    Unknown(&'static str),
    /// Nobody knows whether it was done: no answer, a 5xx, a 429, another call with the key under way. Look, or ask again
    /// with the same key.
    #[error("{0}")]
    Unanswered(String),
}

//! What is answered to who asks for what happens later, or may not: a mail, an erasure.

use serde::Serialize;

/// That it was taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Always the same: whether a mail follows is told to its address only.
    #[schema(example = "accepted")]
    status: &'static str,
}

impl Accepted {
    /// The status of the reply that says so.
    pub const STATUS: u16 = 202;

    /// The only thing that it says.
    pub const fn taken() -> Self {
        Self { status: "accepted" }
    }
}

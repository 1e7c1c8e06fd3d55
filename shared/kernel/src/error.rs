//! Errors, named by what the caller can do about them. Only `lambda` turns them into statuses.

use serde::{Deserialize, Serialize};

/// What most things return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One field of the input and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldProblem {
    /// The path of the field, such as `lineItems[0].quantity`.
    #[schema(example = "name")]
    pub field: String,
    /// What is wrong, as a sentence without its subject.
    #[schema(example = "must have 1 to 100 characters")]
    pub problem: String,
}

/// What a call costs, and what is left. Members of the problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutOfCredits {
    /// The credits that are left.
    #[schema(example = 3)]
    pub balance: u64,
    /// The credits that the call costs.
    #[schema(example = 5)]
    pub price: u64,
    /// The page where somebody adds credits.
    #[schema(example = "https://console.example.com/wallet")]
    pub top_up_url: String,
}

impl std::fmt::Display for OutOfCredits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { balance, price, .. } = self;
        let s = if *price == 1 { "" } else { "s" };
        write!(f, "this costs {price} credit{s}, and the balance is {balance}")
    }
}

/// Why something was not done. Codes are stable and append-only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read: send another one (400).
    #[error("{detail}")]
    Malformed {
        /// A stable name.
        code: &'static str,
        /// A sentence for a person.
        detail: String,
        /// The fields it is about, if any.
        errors: Vec<FieldProblem>,
    },
    /// Who is calling is not known: log in again, or use another key (401).
    #[error("{detail}")]
    Unauthenticated {
        /// A stable name.
        code: &'static str,
        /// A sentence for a person.
        detail: &'static str,
    },
    /// What the call costs is not left in the wallet: top it up (402).
    #[error("{0}")]
    OutOfCredits(OutOfCredits),
    /// The caller's role does not allow it (403).
    #[error("your role does not allow this")]
    Denied,
    /// The caller's role would allow it, but something about the caller does not (403).
    #[error("{detail}")]
    Forbidden {
        /// A stable name.
        code: &'static str,
        /// A sentence for a person: what to do.
        detail: &'static str,
    },
    /// It is absent, or another tenant's (404).
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A rule of the domain says no (409).
    #[error("{detail}")]
    Refused {
        /// A stable name.
        code: &'static str,
        /// A sentence for a person.
        detail: String,
    },
    /// The same request is being worked on: ask again later (409 with `Retry-After`).
    #[error("this request is still being worked on")]
    InFlight {
        /// When to ask again.
        retry_after_seconds: u64,
    },
    /// Someone else changed it meanwhile: read it again (412).
    #[error("it was changed by someone else meanwhile; read it again")]
    Stale,
    /// Too many bytes (413).
    #[error("{0}")]
    TooLarge(String),
    /// The media type or encoding is not one of those taken (415).
    #[error("{0}")]
    Unsupported(String),
    /// The fields can be read, but break a rule (422).
    #[error("some fields break a rule")]
    Invalid(Vec<FieldProblem>),
    /// As `Invalid`, for a rule whose break has a name of its own (422).
    #[error("`{field}` {problem}")]
    InvalidAs {
        /// A stable name.
        code: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong, as a sentence without its subject.
        problem: String,
    },
    /// The same idempotency key came with another body (422).
    #[error("this idempotency key was used with another request")]
    KeyReused,
    /// Too many calls (429 with `Retry-After`).
    #[error("this {whose} may make {limit} calls a minute; call again in {retry_after_seconds} s")]
    Limited {
        /// Whose limit it is, in words.
        whose: &'static str,
        /// How many calls a minute it allows.
        limit: u32,
        /// When to call again.
        retry_after_seconds: u64,
    },
    /// Too many attempts that failed (429 with `Retry-After`).
    #[error("too many attempts failed; try again in {retry_after_seconds} s")]
    TooManyFailures {
        /// When to try again.
        retry_after_seconds: u64,
    },
    /// Something of ours is overloaded or away: try again (503 with `Retry-After`).
    #[error("a part of the service is busy; try again")]
    Busy,
    /// Somebody whom we need for this does not answer: try again (503 with `Retry-After`).
    #[error("{0}; try again")]
    Away(String),
    /// Our fault (500). The cause is logged and never shown.
    #[error("something went wrong on our side")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// Says that a request cannot be read.
    pub fn malformed(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Malformed {
            code,
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Says that one field of the request cannot be read.
    pub fn malformed_field(code: &'static str, field: impl Into<String>, problem: impl Into<String>) -> Self {
        let (field, problem) = (field.into(), problem.into());
        Self::Malformed {
            code,
            detail: format!("`{field}` {problem}"),
            errors: vec![FieldProblem { field, problem }],
        }
    }

    /// Says which field serde could not read, from the path and the text of its error. Neither the value nor the name
    /// of a type of ours is shown: a value may be a secret, and of any length.
    pub fn unreadable_field(path: &str, cause: &str) -> Self {
        let cause = cause.split(" at line ").next().unwrap_or(cause);
        let quoted: String = cause
            .split('`')
            .nth(1)
            .unwrap_or_default()
            .chars()
            .take(LONGEST_NAME)
            .collect();
        let path: String = path.chars().take(LONGEST_NAME).collect();
        let inside = |name: &str| {
            if path == "." {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        if cause.starts_with("unknown field") {
            // The path of an unknown field ends with it already, unless the path is not known.
            let field = if path == "." { quoted } else { path };
            return Self::malformed_field("unknown_field", field, "is not a field of this request");
        }
        if cause.starts_with("missing field") {
            return Self::malformed_field("missing_field", inside(&quoted), "is missing");
        }
        if cause.starts_with("duplicate field") {
            return Self::malformed_field("duplicate_field", inside(&quoted), "is given more than once");
        }
        let field = if path == "." { "body" } else { &path };
        // Our own types say what they must be, and show no value.
        if cause.starts_with("must be `") {
            return Self::malformed_field("malformed_id", field, cause);
        }
        if cause.starts_with("must ") {
            return Self::malformed_field("wrong_type", field, cause);
        }
        Self::malformed_field("wrong_type", field, wanted(cause))
    }

    /// Says that one field breaks a rule.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldProblem {
            field: field.into(),
            problem: problem.into(),
        }])
    }

    /// Says that a rule of the domain forbids it.
    pub fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused {
            code,
            detail: detail.into(),
        }
    }
}

/// Names of fields are shown up to this length.
const LONGEST_NAME: usize = 100;

/// What serde wanted instead of what it got, in the words of JSON.
fn wanted(cause: &str) -> String {
    let Some((_, wanted)) = cause.rsplit_once("expected ") else {
        return "cannot be read".to_owned();
    };
    let plain = |text: &str| text.len() <= 200 && !text.contains("::");
    match wanted.split([' ', ',']).next().unwrap_or_default() {
        "struct" | "map" => "must be an object".to_owned(),
        "sequence" => "must be an array".to_owned(),
        "a" if wanted.starts_with("a map") => "must be an object".to_owned(),
        "a" if wanted.starts_with("a sequence") => "must be an array".to_owned(),
        "a" if wanted.starts_with("a borrowed string") => "must be a string".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "usize" => "must be a whole number".to_owned(),
        "f32" | "f64" => "must be a number".to_owned(),
        "unit" => "must be null".to_owned(),
        "char" => "must be one character".to_owned(),
        "enum" => "must be one of the values documented".to_owned(),
        _ if plain(wanted) => format!("must be {wanted}"),
        _ => "cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, cause: &str, expected: &str) {
        assert_eq!(Error::unreadable_field(path, cause).to_string(), expected);
    }

    #[test]
    fn unreadable_fields_are_named_and_their_values_are_not() {
        check(
            "password",
            "invalid type: integer `12345678`, expected a string at line 1 column 9",
            "`password` must be a string",
        );
        check(
            ".",
            "invalid type: null, expected struct NewOrg at line 1 column 4",
            "`body` must be an object",
        );
        check(
            "threshold",
            "invalid type: string \"5\", expected f64 at line 1 column 15",
            "`threshold` must be a number",
        );
        check("limit", "invalid digit found in string", "`limit` cannot be read");
        check(
            "a.b",
            "unknown variant `x`, expected one of `prod`, `dev`",
            "`a.b` must be one of `prod`, `dev`",
        );
        check(".", "missing field `name` at line 1 column 2", "`name` is missing");
        check(".", "duplicate field `limit`", "`limit` is given more than once");
        check(
            "x",
            "unknown field `x`, expected `name`",
            "`x` is not a field of this request",
        );
        check(
            "id",
            "must be `org_` followed by more",
            "`id` must be `org_` followed by more",
        );
        let long = Error::unreadable_field(".", &format!("unknown field `{}`", "x".repeat(100_000)));
        assert!(long.to_string().len() < 200);
    }
}

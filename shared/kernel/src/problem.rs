//! Errors as replies: RFC 9457 problem documents. The only place where an error becomes a status.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Error, FieldProblem};

/// A problem document (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProblemDetails {
    /// A URN for the kind of problem.
    #[schema(example = "urn:countinghouse:problem:not_found")]
    pub r#type: String,
    /// The status in words.
    #[schema(example = "Not Found")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What went wrong, for a person.
    #[schema(example = "there is no such project")]
    pub detail: String,
    /// What went wrong, for a program; stable.
    #[schema(example = "not_found")]
    pub code: String,
    /// Quote this when asking for help; also in `x-request-id`.
    pub request_id: String,
    /// The fields it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Members that problems of this kind alone have.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

/// A failed request; becomes a problem document with its status and headers.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    /// Boxed: nearly no problem has any, and every result has room for a problem.
    extensions: Box<Map<String, Value>>,
    retry_after_seconds: Option<u64>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Box::default(),
            retry_after_seconds: None,
        }
    }

    /// Adds the fields of an object as members of the document: extension members (RFC 9457, section 3.2). None has the
    /// name of another member.
    #[must_use]
    pub fn extended_by(mut self, members: &impl Serialize) -> Self {
        if let Ok(Value::Object(members)) = serde_json::to_value(members) {
            self.extensions.extend(members);
        }
        self
    }

    /// The document, for the request with this id.
    pub fn details(&self, request_id: &str) -> ProblemDetails {
        ProblemDetails {
            r#type: format!("urn:countinghouse:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_owned(),
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            extensions: (*self.extensions).clone(),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let simple = |status, code| Self::new(status, code, detail.clone());
        match error {
            Error::Malformed { code, errors, .. } => Self {
                errors,
                ..simple(StatusCode::BAD_REQUEST, code)
            },
            Error::Unauthenticated { code, .. } => simple(StatusCode::UNAUTHORIZED, code),
            Error::OutOfCredits(members) => {
                simple(StatusCode::PAYMENT_REQUIRED, "out_of_credits").extended_by(&members)
            }
            Error::Denied => simple(StatusCode::FORBIDDEN, "forbidden"),
            Error::Forbidden { code, .. } => simple(StatusCode::FORBIDDEN, code),
            Error::NotFound(_) => simple(StatusCode::NOT_FOUND, "not_found"),
            Error::Refused { code, .. } => simple(StatusCode::CONFLICT, code),
            Error::InFlight { retry_after_seconds } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..simple(StatusCode::CONFLICT, "in_flight")
            },
            Error::Stale => simple(StatusCode::PRECONDITION_FAILED, "stale"),
            Error::TooLarge(_) => simple(StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Error::Unsupported(_) => simple(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Error::Invalid(errors) => Self {
                errors,
                ..simple(StatusCode::UNPROCESSABLE_ENTITY, "invalid")
            },
            Error::InvalidAs { code, field, problem } => Self {
                errors: vec![FieldProblem {
                    field: field.to_owned(),
                    problem,
                }],
                ..simple(StatusCode::UNPROCESSABLE_ENTITY, code)
            },
            Error::KeyReused => simple(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Error::Limited {
                retry_after_seconds, ..
            } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..simple(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            },
            Error::TooManyFailures { retry_after_seconds } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..simple(StatusCode::TOO_MANY_REQUESTS, "too_many_failures")
            },
            Error::Busy => Self {
                retry_after_seconds: Some(1),
                ..simple(StatusCode::SERVICE_UNAVAILABLE, "busy")
            },
            Error::Away(_) => Self {
                retry_after_seconds: Some(5),
                ..simple(StatusCode::SERVICE_UNAVAILABLE, "unanswered")
            },
            Error::Internal(cause) => {
                tracing::error!(error = format!("{cause:#}"), "a request failed");
                simple(StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
        }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Error::Internal(error).into()
    }
}

impl IntoResponse for Problem {
    /// The status and headers; the outermost layer writes the body, for only it knows the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Documents every problem a route may answer with.
impl utoipa::IntoResponses for Problem {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        let statuses = [
            (
                "400",
                "The request cannot be read: malformed JSON, an unknown field, a wrong type, a malformed id.",
            ),
            (
                "401",
                "Not authenticated: no credentials, or expired, forged or revoked ones.",
            ),
            (
                "402",
                "Out of credits: `balance` is what is left, `price` what this costs, `topUpUrl` where to add some.",
            ),
            ("403", "Your role does not allow it."),
            ("404", "Absent, or another tenant's."),
            (
                "409",
                "A rule says no, or the same request is in flight (`Retry-After`).",
            ),
            ("412", "Someone else changed it meanwhile."),
            ("413", "Too large."),
            ("415", "A media type or encoding that is not taken."),
            (
                "422",
                "A field breaks a rule, or the idempotency key was used with another body.",
            ),
            ("429", "Too many calls (`Retry-After`)."),
            ("500", "Our fault."),
            ("503", "A part of the service is busy (`Retry-After`)."),
        ];
        let document = || utoipa::openapi::Ref::from_schema_name("ProblemDetails");
        let schema = |status: &str| -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
            if status == "402" {
                let both = utoipa::openapi::AllOfBuilder::new().item(document());
                let members = utoipa::openapi::Ref::from_schema_name("OutOfCredits");
                utoipa::openapi::Schema::AllOf(both.item(members).build()).into()
            } else {
                document().into()
            }
        };
        let response = |status: &str, text: &str| {
            let content = utoipa::openapi::ContentBuilder::new().schema(Some(schema(status)));
            let response = utoipa::openapi::ResponseBuilder::new().description(text);
            response
                .content("application/problem+json", content.build())
                .build()
                .into()
        };
        statuses
            .iter()
            .map(|(status, text)| ((*status).to_owned(), response(status, text)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::OutOfCredits;

    fn check(error: Error, status: u16, expected: &str) {
        let problem = Problem::from(error);
        assert_eq!(problem.status.as_u16(), status);
        assert_eq!(serde_json::to_string(&problem.details("req-1")).unwrap(), expected);
    }

    #[test]
    fn who_is_out_of_credits_is_told_what_it_costs_and_where_to_get_some() {
        let members = OutOfCredits {
            balance: 3,
            price: 5,
            top_up_url: "https://console.example.com/wallet".to_owned(),
        };
        check(
            Error::OutOfCredits(members),
            402,
            r#"{"type":"urn:countinghouse:problem:out_of_credits","title":"Payment Required","status":402,"detail":"this costs 5 credits, and the balance is 3","code":"out_of_credits","requestId":"req-1","balance":3,"price":5,"topUpUrl":"https://console.example.com/wallet"}"#,
        );
    }

    #[test]
    fn other_problems_have_no_members_of_their_own() {
        check(
            Error::NotFound("project"),
            404,
            r#"{"type":"urn:countinghouse:problem:not_found","title":"Not Found","status":404,"detail":"there is no such project","code":"not_found","requestId":"req-1"}"#,
        );
    }

    #[test]
    fn every_status_is_described_and_the_members_of_402_too() {
        let responses = serde_json::to_value(<Problem as utoipa::IntoResponses>::responses()).unwrap();
        let schema = |status: &str| responses[status]["content"]["application/problem+json"]["schema"].clone();
        let document = serde_json::json!({"$ref": "#/components/schemas/ProblemDetails"});
        let members = serde_json::json!({"$ref": "#/components/schemas/OutOfCredits"});
        assert_eq!(schema("404"), document);
        assert_eq!(schema("402"), serde_json::json!({"allOf": [document, members]}));
    }
}

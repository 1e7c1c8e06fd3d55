//! Errors as replies: RFC 9457 problem documents. The only place where an error becomes a status.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

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
}

/// A failed request; becomes a problem document with its status and headers.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
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
            retry_after_seconds: None,
        }
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
            Error::Denied => simple(StatusCode::FORBIDDEN, "forbidden"),
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
            Error::KeyReused => simple(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Error::Limited {
                retry_after_seconds, ..
            } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                ..simple(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            },
            Error::Busy => Self {
                retry_after_seconds: Some(1),
                ..simple(StatusCode::SERVICE_UNAVAILABLE, "busy")
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
        let content = utoipa::openapi::ContentBuilder::new()
            .schema(Some(utoipa::openapi::Ref::from_schema_name("ProblemDetails")))
            .build();
        let response = |text: &str| {
            let response = utoipa::openapi::ResponseBuilder::new().description(text);
            response
                .content("application/problem+json", content.clone())
                .build()
                .into()
        };
        statuses
            .iter()
            .map(|(status, text)| ((*status).to_owned(), response(text)))
            .collect()
    }
}

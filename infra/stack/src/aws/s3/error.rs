//! Errors of S3: a status, a code and words, as XML.

use std::fmt::{Display, Write as _};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use crate::aws::service::ServiceError;

/// Makes an error of S3.
pub(super) fn refused(status: StatusCode, code: &str, message: impl Display) -> ServiceError {
    ServiceError {
        status,
        ..ServiceError::refused(code, message.to_string())
    }
}

/// Refuses a request that makes no sense.
pub(super) fn invalid(code: &str, message: impl Display) -> ServiceError {
    refused(StatusCode::BAD_REQUEST, code, message)
}

/// Refuses who may not.
pub(super) fn denied(message: impl Display) -> ServiceError {
    refused(StatusCode::FORBIDDEN, "AccessDenied", message)
}

/// Says that something is not there.
pub(super) fn missing(code: &str, message: impl Display) -> ServiceError {
    refused(StatusCode::NOT_FOUND, code, message)
}

/// Refuses what the local stack does not have.
pub(super) fn not_served(what: impl Display) -> ServiceError {
    let message = format!("the local stack does not serve S3 {what}");
    refused(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
}

/// Reports a failure of our own.
pub(super) fn failed(error: impl Display) -> ServiceError {
    refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", error)
}

/// Words an error; the names that the other services give theirs become S3's.
pub(super) fn reply(error: &ServiceError) -> Response {
    let (status, code) = match error.code.as_str() {
        "AccessDeniedException" => (StatusCode::FORBIDDEN, "AccessDenied"),
        "InternalServerError" => (error.status, "InternalError"),
        code => (error.status, code),
    };
    let body = format!(
        "<Error><Code>{}</Code><Message>{}</Message></Error>",
        escape(code),
        escape(&error.message)
    );
    let mut response = xml(&body);
    *response.status_mut() = status;
    response
}

/// Answers with XML.
pub(super) fn xml(body: &str) -> Response {
    let mut response = Response::new(Body::from(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}"
    )));
    let kind = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Escapes a text for XML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c < ' ' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

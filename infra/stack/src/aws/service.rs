//! What a service of AWS is to the port that all of them share.

use std::borrow::Cow;
use std::fmt;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use super::iam::{self, Need};
use super::usage::Used;
use crate::chaos::Draw;

/// The largest body that is read whole: `DynamoDB` takes 16 MB.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// One service: which requests are for it, what they need to be allowed, what it answers.
pub(super) trait Service: fmt::Debug + Send + Sync {
    /// Lists its names in the variables `AWS_ENDPOINT_URL_<NAME>`, by which SDKs find it.
    fn names(&self) -> &'static [&'static str];

    /// Tells whether a request is for it.
    fn takes(&self, parts: &Parts) -> bool;

    /// Tells whether it reads bodies itself, because they may be large.
    fn streams(&self) -> bool {
        false
    }

    /// Finds who calls: an access key.
    fn caller<'a>(&self, parts: &'a Parts) -> Cow<'a, str> {
        iam::caller(text(&parts.headers, "authorization")).into()
    }

    /// Names what is called; the end of its target unless the protocol has no targets.
    fn operation(&self, parts: &Parts) -> String {
        let target = text(&parts.headers, "x-amz-target");
        target.rsplit('.').next().unwrap_or_default().to_owned()
    }

    /// Lists what a function must be allowed for this call; an error says why the call cannot be read.
    fn needs(&self, call: &Call) -> Result<Vec<Need>, String>;

    /// Answers a call that is allowed.
    fn answer(&self, call: Call) -> BoxFuture<'_, Result<Answer, ServiceError>>;

    /// Words an error on the wire.
    fn refuse(&self, error: &ServiceError) -> Response {
        refused(error)
    }

    /// Refuses a call in one of the ways in which the service refuses what comes too fast, or meets something else.
    fn throttle(&self, _call: &Call, _draw: Draw) -> Response {
        self.refuse(&ServiceError::refused("ThrottlingException", THROTTLED))
    }
}

/// What is said to whom a fault throttles.
pub(super) const THROTTLED: &str = "chaos: come again later";

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) parts: Parts,
    /// Who calls: an access key.
    pub(super) caller: String,
    /// What is called.
    pub(super) operation: String,
    /// The whole body; empty where the service reads it itself.
    pub(super) body: Bytes,
    /// The body where the service reads it itself.
    pub(super) stream: Body,
}

impl Call {
    /// Reads as much of a request as its service wants to have read.
    pub(super) async fn read(service: &dyn Service, parts: Parts, body: Body) -> Result<Self, ServiceError> {
        let (body, stream) = if service.streams() {
            (Bytes::new(), body)
        } else {
            let too_large = |_| ServiceError {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                ..ServiceError::refused("RequestEntityTooLarge", "a request has at most 16 MB")
            };
            let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await;
            (body.map_err(too_large)?, Body::empty())
        };
        Ok(Self {
            caller: service.caller(&parts).into_owned(),
            operation: service.operation(&parts),
            parts,
            body,
            stream,
        })
    }
}

/// A reply, and what AWS would bill for it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) used: Used,
}

impl Answer {
    /// Answers with JSON.
    pub(super) fn json(body: &impl ToString, used: Used) -> Self {
        Self {
            response: json_reply(StatusCode::OK, body.to_string()),
            used,
        }
    }
}

/// An error as a service words it.
#[derive(Debug)]
pub(super) struct ServiceError {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
    /// The same error's name in the older protocol of the service, which the SDK goes by if there is one.
    pub(super) query_code: Option<String>,
}

impl ServiceError {
    pub(super) fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: code.into(),
            message: message.into(),
            query_code: None,
        }
    }

    /// Refuses an operation that the local stack does not have.
    pub(super) fn not_served(what: impl fmt::Display) -> Self {
        Self::refused(
            "UnknownOperationException",
            format!("the local stack does not serve {what}"),
        )
    }
}

/// Reads a header; empty if there is none, or no text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Tells whether a request's target begins so.
pub(super) fn targets(parts: &Parts, prefix: &str) -> bool {
    text(&parts.headers, "x-amz-target").starts_with(prefix)
}

/// Answers with JSON.
pub(super) fn json_reply(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-amz-json-1.0"),
    );
    response
}

/// Words an error as the services that speak JSON do.
pub(super) fn refused(error: &ServiceError) -> Response {
    let body = json!({"__type": error.code, "message": error.message});
    let mut response = json_reply(error.status, body.to_string());
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    let query = error.query_code.as_ref().map(|code| format!("{code};Sender"));
    if let Some(code) = query.and_then(|code| HeaderValue::from_str(&code).ok()) {
        response.headers_mut().insert("x-amzn-query-error", code);
    }
    response
}

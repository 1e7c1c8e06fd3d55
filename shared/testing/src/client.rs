//! A caller of the API: HTTP verbs on one side, replies that are easy to compare on the other.

use std::fmt;
use std::net::IpAddr;

use axum::body::Body;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequestContext;
use lambda_http::request::RequestContext;
use serde_json::Value;
use tower::ServiceExt;

use crate::{ADDRESS, TestApp};

/// A caller with certain headers.
#[derive(Clone, Debug)]
pub struct Client {
    app: TestApp,
    headers: HeaderMap,
    address: IpAddr,
}

impl Client {
    pub(crate) fn new(app: TestApp) -> Self {
        Self {
            app,
            address: ADDRESS,
            headers: HeaderMap::new(),
        }
    }

    /// The same caller with one header more, or another value of it.
    #[must_use]
    pub fn header(&self, name: &str, value: impl AsRef<str>) -> Self {
        let mut client = self.clone();
        let name: HeaderName = name.parse().expect("a header name");
        let value = value.as_ref().parse().expect("a header value");
        client.headers.insert(name, value);
        client
    }

    /// The same caller from another address, as the gateway sees it.
    #[must_use]
    pub fn from(&self, address: &str) -> Self {
        let mut client = self.clone();
        client.address = address.parse().expect("an address");
        client
    }

    /// The same caller without a header.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut client = self.clone();
        client.headers.remove(name);
        client
    }

    /// The same caller with an access token.
    #[must_use]
    pub fn bearer(&self, token: impl fmt::Display) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// The same caller within an organization.
    #[must_use]
    pub fn within(&self, org: &str) -> Self {
        self.header("x-org-id", org)
    }

    /// Sends GET.
    pub async fn get(&self, path: impl AsRef<str>) -> Reply {
        self.send(Method::GET, path.as_ref(), Vec::new()).await
    }

    /// Reads every page of a list.
    pub async fn all(&self, path: impl AsRef<str>) -> Vec<Value> {
        let path = path.as_ref();
        let joint = if path.contains('?') { '&' } else { '?' };
        let (mut found, mut next) = (Vec::new(), String::new());
        for _ in 0..1_000 {
            let page = self.get(format!("{path}{next}")).await.expect(200);
            found.extend_from_slice(page.data());
            match page.json["nextCursor"].as_str() {
                Some(cursor) => next = format!("{joint}cursor={cursor}"),
                None => return found,
            }
        }
        panic!("the list {path} does not end");
    }

    /// Sends POST with JSON.
    pub async fn post(&self, path: impl AsRef<str>, body: Value) -> Reply {
        self.json(Method::POST, path.as_ref(), &body).await
    }

    /// Sends PUT with JSON.
    pub async fn put(&self, path: impl AsRef<str>, body: Value) -> Reply {
        self.json(Method::PUT, path.as_ref(), &body).await
    }

    /// Sends PATCH with JSON.
    pub async fn patch(&self, path: impl AsRef<str>, body: Value) -> Reply {
        self.json(Method::PATCH, path.as_ref(), &body).await
    }

    /// Sends DELETE.
    pub async fn delete(&self, path: impl AsRef<str>) -> Reply {
        self.send(Method::DELETE, path.as_ref(), Vec::new()).await
    }

    /// Sends POST with any bytes as JSON.
    pub async fn post_bytes(&self, path: impl AsRef<str>, body: impl Into<Vec<u8>>) -> Reply {
        let client = if self.headers.contains_key(header::CONTENT_TYPE) {
            self.clone()
        } else {
            self.header("content-type", "application/json")
        };
        client.send(Method::POST, path.as_ref(), body.into()).await
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Reply {
        let client = self.header("content-type", "application/json");
        client.send(method, path, body.to_string().into_bytes()).await
    }

    /// Sends any request to the function that the gateway would choose.
    pub async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> Reply {
        let plain = path.split('?').next().unwrap_or(path);
        let Some(function) = self.app.function_of(method.as_str(), plain) else {
            panic!("no route of template.yaml takes {method} {path}");
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::from(body))
            .expect("a request");
        *request.headers_mut() = self.headers.clone();
        let mut context = ApiGatewayV2httpRequestContext::default();
        context.http.source_ip = Some(self.address.to_string());
        request.extensions_mut().insert(RequestContext::ApiGatewayV2(context));
        let response = self
            .app
            .router(function)
            .oneshot(request)
            .await
            .expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply {
            status: parts.status,
            headers: parts.headers,
            bytes,
            json,
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Vec<u8>,
    /// The body, if it is JSON.
    pub json: Value,
}

impl Reply {
    /// Wants this status; shows the reply otherwise.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "wanting a reply is enough for many tests"
    )]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        if self.status.is_client_error() || self.status.is_server_error() {
            assert_eq!(self.header("content-type"), "application/problem+json");
            assert_eq!(self.json["status"], status);
            assert_eq!(self.json["requestId"], self.header("x-request-id"));
        }
        self
    }

    /// Wants a problem with this status and code.
    #[expect(
        clippy::return_self_not_must_use,
        reason = "wanting a reply is enough for many tests"
    )]
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.json["code"], code, "{}", reply.json);
        reply
    }

    /// The text of a field; panics if it is none.
    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        self.json[field]
            .as_str()
            .unwrap_or_else(|| panic!("`{field}` is no text in {}", self.json))
            .to_owned()
    }

    /// The names of the fields that a problem is about.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().into_iter().flatten();
        errors.filter_map(|error| error["field"].as_str()).collect()
    }

    /// The value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The `data` of a list.
    #[track_caller]
    pub fn data(&self) -> &[Value] {
        self.json["data"]
            .as_array()
            .unwrap_or_else(|| panic!("no list: {}", self.json))
    }
}

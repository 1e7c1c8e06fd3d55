//! The event that a function gets for a request.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use jiff::Timestamp;
use serde::Serialize;

use super::router::{Match, decode};
use crate::template::ACCOUNT;

/// Who calls, and when.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The address that the request comes from.
    pub peer: SocketAddr,
    /// The time by the test clock, in milliseconds since 1970.
    pub now_ms: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'a str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    path_parameters: &'a BTreeMap<&'a str, String>,
    request_context: Context<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'static str,
    api_id: &'static str,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: Http<'a>,
    request_id: String,
    route_key: &'a str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    method: &'a str,
    path: &'a str,
    protocol: &'static str,
    source_ip: String,
    user_agent: &'a str,
}

/// Writes the event for a request, as JSON.
pub fn event(found: &Match, parts: &http::request::Parts, body: &[u8], caller: &Caller) -> Vec<u8> {
    let headers = headers(&parts.headers);
    let header = |name: &str| headers.get(name).map(AsRef::as_ref).unwrap_or_default();
    let host = header("host");
    let query = parts.uri.query().unwrap_or_default();
    let (body, is_base64_encoded) = encode(body, &parts.headers);
    let time = Timestamp::from_millisecond(caller.now_ms).unwrap_or_default();
    let event = Event {
        version: "2.0",
        route_key: found.key,
        raw_path: parts.uri.path(),
        raw_query_string: query,
        cookies: cookies(&parts.headers),
        query_string_parameters: query_parameters(query),
        path_parameters: &found.parameters,
        request_context: Context {
            account_id: ACCOUNT,
            api_id: "local",
            domain_name: host,
            domain_prefix: host.split(['.', ':']).next().unwrap_or_default(),
            http: Http {
                method: parts.method.as_str(),
                path: parts.uri.path(),
                protocol: "HTTP/1.1",
                source_ip: caller.peer.ip().to_canonical().to_string(),
                user_agent: header("user-agent"),
            },
            request_id: uuid::Uuid::new_v4().to_string(),
            route_key: found.key,
            stage: "$default",
            time: time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            time_epoch: caller.now_ms,
        },
        headers: headers.clone(),
        body,
        is_base64_encoded,
    };

    serde_json::to_vec(&event).expect("texts, numbers and maps with text keys are always JSON")
}

/// Joins repeated headers by commas; cookies have a field of their own.
fn headers(given: &http::HeaderMap) -> BTreeMap<&str, Cow<'_, str>> {
    let mut headers: BTreeMap<&str, Cow<str>> = BTreeMap::new();
    for (name, value) in given {
        if name == header::COOKIE {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.as_str())
            .and_modify(|old| {
                let joined = old.to_mut();
                joined.push(',');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    headers
}

fn cookies(given: &http::HeaderMap) -> Vec<Cow<'_, str>> {
    let texts = given
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split("; "))
        .filter(|cookie| !cookie.is_empty())
        .map(Cow::from)
        .collect()
}

/// Decodes the query; repeated names are joined by commas.
fn query_parameters(query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let [name, value] = [name, value].map(|text| decode(&text.replace('+', " ")));
        parameters
            .entry(name)
            .and_modify(|old| {
                old.push(',');
                old.push_str(&value);
            })
            .or_insert(value);
    }
    parameters
}

/// Types whose bodies API Gateway passes on as text. AWS lists them nowhere; the authors of ministack found these by
/// trying (`ministackorg/ministack` pull request 766): not forms, not `…+json`, not a body without a type.
const TEXT_TYPES: [&str; 3] = ["application/json", "application/javascript", "application/xml"];

fn encode<'a>(body: &'a [u8], headers: &http::HeaderMap) -> (Option<Cow<'a, str>>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = kind.starts_with("text/") || TEXT_TYPES.contains(&kind.as_str());
    let is_plain = headers
        .get(header::CONTENT_ENCODING)
        .is_none_or(|encoding| encoding == "identity");
    match std::str::from_utf8(body) {
        Ok(text) if is_text && is_plain => (Some(text.into()), false),
        _ => (Some(STANDARD.encode(body).into()), true),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request};
    use serde_json::{Value, json};

    use super::*;
    use crate::gateway::Router;
    use crate::template::Route;

    fn event_of(request: http::request::Builder, body: &[u8]) -> Value {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let route = Route {
            method: "ANY".into(),
            path: "/a/{id}/{rest+}".into(),
            function: "F".into(),
        };
        let router = Router::new(&[route]);
        let found = router.find(&Method::GET, parts.uri.path()).unwrap();
        let caller = Caller {
            peer: ([192, 0, 2, 7], 4711).into(),
            now_ms: 1_583_348_638_390,
        };
        serde_json::from_slice(&event(&found, &parts, body, &caller)).unwrap()
    }

    #[test]
    fn an_event_says_everything_about_its_request() {
        let request = Request::post("/a/x%20y/b/c?q=1&q=2&empty&p=a+b%26")
            .header("host", "api.local:3000")
            .header("user-agent", "test")
            .header("content-type", "text/plain")
            .header("cookie", "one=1; two=2")
            .header("x-many", "a")
            .header("x-many", "b");
        let event = event_of(request, b"hello");
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["routeKey"], "ANY /a/{id}/{rest+}");
        assert_eq!(event["rawPath"], "/a/x%20y/b/c");
        assert_eq!(event["rawQueryString"], "q=1&q=2&empty&p=a+b%26");
        assert_eq!(
            event["queryStringParameters"],
            json!({"q": "1,2", "empty": "", "p": "a b&"})
        );
        assert_eq!(event["pathParameters"], json!({"id": "x y", "rest": "b/c"}));
        assert_eq!(event["cookies"], json!(["one=1", "two=2"]));
        assert_eq!(
            event["headers"],
            json!({"host": "api.local:3000", "user-agent": "test", "content-type": "text/plain", "x-many": "a,b"})
        );
        assert_eq!(event["body"], "hello");
        let context = &event["requestContext"];
        assert_eq!(context["http"]["sourceIp"], "192.0.2.7");
        assert_eq!(context["domainPrefix"], "api");
        assert_eq!(context["time"], "04/Mar/2020:19:03:58 +0000");
        assert_eq!(context["timeEpoch"], 1_583_348_638_390_i64);
    }

    fn check_body(kind: &str, encoding: &str, body: &[u8], is_base64: bool) {
        let request = Request::post("/a/1/2")
            .header("content-type", kind)
            .header("content-encoding", encoding);
        assert_eq!(
            event_of(request, body)["isBase64Encoded"],
            is_base64,
            "{kind} {encoding}"
        );
    }

    #[test]
    fn bodies_that_are_no_text_are_base64() {
        check_body("application/json", "identity", b"{}", false);
        check_body("Application/JSON; charset=utf-8", "identity", b"{}", false);
        check_body("application/cloudevents+json", "identity", b"{}", true);
        check_body("application/x-www-form-urlencoded", "identity", b"a=1", true);
        check_body("", "identity", b"{}", true);
        check_body("application/json", "gzip", b"{}", true);
        check_body("application/octet-stream", "identity", b"x", true);
        check_body("text/plain", "identity", b"\xff", true);
    }
}

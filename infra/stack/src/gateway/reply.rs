//! The HTTP reply that a function's reply stands for.

use anyhow::{Context, Result};
use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    status_code: u16,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    multi_value_headers: Option<Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Headers that the server sets itself.
const NOT_OURS: [HeaderName; 3] = [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];

/// Turns a function's payload into an HTTP reply; one without `statusCode` is the JSON body of a 200.
pub fn reply(method: &Method, payload: &[u8]) -> Result<Response> {
    let Ok(reply) = serde_json::from_slice::<Reply>(payload) else {
        let value: Value = serde_json::from_slice(payload).context("the reply is no JSON")?;
        anyhow::ensure!(
            value.get("statusCode").is_none(),
            "the reply has a field of the wrong type"
        );
        let mut response = Response::new(Body::from(payload.to_vec()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(response);
    };
    let body = reply.body.unwrap_or_default();
    let body = if reply.is_base64_encoded == Some(true) {
        STANDARD.decode(body).context("the body is no base64")?
    } else {
        body.into_bytes()
    };
    let mut response = Response::new(if *method == Method::HEAD {
        Body::empty()
    } else {
        Body::from(body)
    });
    *response.status_mut() = StatusCode::from_u16(reply.status_code).context("no status")?;
    let single = reply.headers.unwrap_or_default().into_iter();
    let multiple = reply
        .multi_value_headers
        .unwrap_or_default()
        .into_iter()
        .flat_map(|(name, values)| {
            let values = match values {
                Value::Array(values) => values,
                one => vec![one],
            };
            values.into_iter().map(move |value| (name.clone(), value))
        });
    // A header in both forms is one header: the form with many values wins.
    let multiple: Vec<(String, Value)> = multiple.collect();
    let single = single.filter(|(name, _)| !multiple.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
    for (name, value) in single.collect::<Vec<_>>().into_iter().chain(multiple.iter().cloned()) {
        let name: HeaderName = name.parse().with_context(|| format!("{name:?} is no header"))?;
        if NOT_OURS.contains(&name) {
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        response
            .headers_mut()
            .append(name, HeaderValue::from_str(&text).context("no header value")?);
    }
    for cookie in reply.cookies.unwrap_or_default() {
        response
            .headers_mut()
            .append(header::SET_COOKIE, HeaderValue::from_str(&cookie).context("no cookie")?);
    }
    if !response.headers().contains_key(header::CONTENT_TYPE) && reply.status_code != 204 {
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
    }

    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reply_becomes_a_response() {
        let payload =
            br#"{"statusCode":201,"headers":{"x-one":"1","x-number":2},"multiValueHeaders":{"X-One":["a","b"]},
            "cookies":["a=1","b=2"],"body":"aGk=","isBase64Encoded":true}"#;
        let response = reply(&Method::GET, payload).unwrap();
        assert_eq!(response.status(), 201);
        let all = |name: &str| {
            response
                .headers()
                .get_all(name)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(all("x-one"), ["a", "b"]);
        assert_eq!(all("x-number"), ["2"]);
        assert_eq!(all("set-cookie"), ["a=1", "b=2"]);
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(&body[..], b"hi");
    }

    #[test]
    fn a_reply_without_a_status_is_json() {
        let response = reply(&Method::GET, br#"{"hello":1}"#).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
    }

    #[test]
    fn nonsense_is_an_error() {
        assert!(reply(&Method::GET, b"<html>").is_err());
        assert!(reply(&Method::GET, br#"{"statusCode":"OK"}"#).is_err());
        assert!(reply(&Method::GET, br#"{"statusCode":200,"headers":{"bad name":"x"}}"#).is_err());
    }
}

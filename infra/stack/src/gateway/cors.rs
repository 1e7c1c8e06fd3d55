//! CORS as API Gateway does it: it answers preflights itself and replaces what a function says about CORS.
//!
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::template::Cors;

const OURS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_MAX_AGE,
];

pub(super) fn is_preflight(parts: &http::request::Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(header::ORIGIN)
        && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight: 204, with what is allowed if the origin is.
pub(super) fn preflight(cors: &Cors, origin: Option<&HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let Some(allowed) = allowed_origin(cors, origin) else {
        return response;
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    set(
        headers,
        header::ACCESS_CONTROL_ALLOW_METHODS,
        &cors.allow_methods.join(","),
    );
    set(
        headers,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        &cors.allow_headers.join(","),
    );
    set(
        headers,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        &cors.expose_headers.join(","),
    );
    if let Some(age) = cors.max_age {
        set(headers, header::ACCESS_CONTROL_MAX_AGE, &age.to_string());
    }
    if cors.allow_credentials {
        set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    response
}

/// Replaces the CORS headers of a reply to a request from `origin`.
pub(super) fn decorate(cors: &Cors, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    for name in OURS {
        headers.remove(name);
    }
    let Some(allowed) = allowed_origin(cors, origin) else {
        return;
    };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    set(
        headers,
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        &cors.expose_headers.join(","),
    );
    if cors.allow_credentials {
        set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
}

fn allowed_origin(cors: &Cors, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
    let origin = origin?;
    let text = origin.to_str().ok()?;
    let allows =
        |pattern: &String| pattern == text || pattern.strip_suffix('*').is_some_and(|start| text.starts_with(start));
    if cors.allow_origins.iter().any(|pattern| pattern == "*") && !cors.allow_credentials {
        return Some(HeaderValue::from_static("*"));
    }
    cors.allow_origins.iter().any(allows).then(|| origin.clone())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if !value.is_empty()
        && let Ok(value) = HeaderValue::from_str(value)
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors {
            allow_origins: vec!["http://a".into(), "https://*".into()],
            allow_methods: vec!["GET".into(), "POST".into()],
            allow_headers: vec!["x-api-key".into()],
            expose_headers: vec!["retry-after".into()],
            max_age: Some(600),
            allow_credentials: false,
        }
    }

    fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_preflight_of_an_allowed_origin_says_what_is_allowed() {
        let response = preflight(&cors(), Some(&HeaderValue::from_static("http://a")));
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(
            header(response.headers(), "access-control-allow-origin"),
            Some("http://a")
        );
        assert_eq!(
            header(response.headers(), "access-control-allow-methods"),
            Some("GET,POST")
        );
        assert_eq!(header(response.headers(), "access-control-max-age"), Some("600"));
    }

    #[test]
    fn another_origin_gets_no_headers() {
        let response = preflight(&cors(), Some(&HeaderValue::from_static("http://b")));
        assert!(response.headers().is_empty());
    }

    #[test]
    fn what_a_function_says_about_cors_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
        decorate(&cors(), None, &mut headers);
        assert!(headers.is_empty());
        decorate(&cors(), Some(&HeaderValue::from_static("https://any")), &mut headers);
        assert_eq!(header(&headers, "access-control-allow-origin"), Some("https://any"));
        assert_eq!(header(&headers, "access-control-expose-headers"), Some("retry-after"));
    }
}

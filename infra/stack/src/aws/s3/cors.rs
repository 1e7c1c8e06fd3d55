//! CORS as a bucket's configuration has it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html>

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::error::refused;
use crate::aws::service::{ServiceError, text};
use crate::template::CorsRule;

/// Answers a preflight by the rule that fits it.
pub(super) fn preflight(rules: &[CorsRule], parts: &Parts) -> Result<Response, ServiceError> {
    let method = text(&parts.headers, header::ACCESS_CONTROL_REQUEST_METHOD.as_str());
    let asked = text(&parts.headers, header::ACCESS_CONTROL_REQUEST_HEADERS.as_str()).to_lowercase();
    let asked: Vec<&str> = asked
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let fits = |rule: &&CorsRule| {
        asked
            .iter()
            .all(|name| rule.headers.iter().any(|known| like(&known.to_lowercase(), name)))
    };
    let Some(rule) = of(rules, parts, method).find(fits) else {
        let message = "CORSResponse: This CORS request is not allowed.";
        return Err(refused(StatusCode::FORBIDDEN, "AccessForbidden", message));
    };
    let mut response = Response::new(Body::empty());
    decorate(rule, parts, response.headers_mut());
    set(
        response.headers_mut(),
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        &asked.join(", "),
    );
    if let Some(age) = rule.max_age_s {
        set(response.headers_mut(), header::ACCESS_CONTROL_MAX_AGE, &age.to_string());
    }
    Ok(response)
}

/// Tells whether a request is a preflight.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
}

/// Adds to a reply what lets a page read it, if a rule fits the request.
pub(super) fn open(rules: &[CorsRule], parts: &Parts, response: &mut Response) {
    if let Some(rule) = of(rules, parts, parts.method.as_str()).next() {
        decorate(rule, parts, response.headers_mut());
    }
}

fn of<'a>(rules: &'a [CorsRule], parts: &'a Parts, method: &'a str) -> impl Iterator<Item = &'a CorsRule> {
    let origin = text(&parts.headers, header::ORIGIN.as_str());
    rules.iter().filter(move |rule| {
        !origin.is_empty()
            && rule.methods.iter().any(|known| known == method)
            && rule.origins.iter().any(|known| like(known, origin))
    })
}

fn decorate(rule: &CorsRule, parts: &Parts, headers: &mut HeaderMap) {
    let is_any = rule.origins.iter().any(|origin| origin == "*");
    let origin = if is_any {
        "*"
    } else {
        text(&parts.headers, header::ORIGIN.as_str())
    };
    set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
    set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed.join(", "));
    let vary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
    set(headers, header::VARY, vary);
    if !is_any {
        set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !value.is_empty()
    {
        headers.insert(name, value);
    }
}

/// Compares a text with one in which a single `*` stands for any.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end),
    }
}

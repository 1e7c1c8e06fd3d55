//! What handlers take and give: bodies, path and query parameters, scopes; pages and created things.

use axum::RequestPartsExt;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::{BodyExt, Limited};
use kernel::{Check, Error, Input};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use kernel::Problem;

/// The longest JSON body of a route that takes one; ingest has its own bound.
const LONGEST_BODY: usize = 256 * 1024;

/// A JSON body: read and checked on the way in, written on the way out.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned + Input, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(is_json);
        if !json {
            return Err(Error::Unsupported("send a body of content type application/json".to_owned()).into());
        }
        let encoding = request.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Error::Unsupported("send the body without a Content-Encoding".to_owned()).into());
        }
        let bytes = read_body(request.into_body(), LONGEST_BODY).await?;
        let input: T = parse(&bytes)?;
        Check::run(&input)?;
        Ok(Self(input))
    }
}

/// A body that may be left out: nothing when it is empty or `null`.
impl<T: DeserializeOwned + Input, S: Send + Sync> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = read_body(body, LONGEST_BODY).await?;
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return Ok(None);
        }
        let request = Request::from_parts(parts, bytes.into());
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// Reads a body of at most `most` bytes.
pub async fn read_body(body: axum::body::Body, most: usize) -> kernel::Result<axum::body::Bytes> {
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Error::TooLarge(format!("the body has more than {most} bytes")))
        }
        Err(_) => Err(Error::malformed("malformed_body", "the body ended before it was whole")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Error::malformed("malformed_json", "the body is not UTF-8").into());
    }
    // serde would take an array for a struct, field by field.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::malformed_field("wrong_type", "body", "must be a JSON object").into());
    }
    match read(bytes) {
        Ok(input) => Ok(input),
        // Read once more with whole numbers written as such; whatever else is wrong is told of what was sent.
        Err(problem) => without_fractions(bytes)
            .and_then(|bytes| read(&bytes).ok())
            .ok_or(problem),
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let input = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        // For serde_json a number or null where an enum is wanted breaks the syntax; it is only a wrong type.
        let is_json = cause.is_data() || serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
        if !is_json {
            return Error::malformed("malformed_json", format!("the body is not JSON: {cause}"));
        }
        Error::unreadable_field(&path, &cause.to_string())
    })?;
    json.end()
        .map_err(|_| Error::malformed("malformed_json", "something follows the JSON value"))?;
    Ok(input)
}

/// JSON in which numbers like `60.0` and `6e1` are written `60`: they are integers (JSON Schema 2020-12, 6.1.1), and many languages
/// write theirs like that, but serde takes none for one. Nothing if it has no such number.
fn without_fractions(json: &[u8]) -> Option<Vec<u8>> {
    let of_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let (mut written, mut rest, mut changed) = (Vec::with_capacity(json.len()), json, false);
    while let Some(first) = rest.first() {
        let length = match first {
            b'"' => end_of_string(rest),
            byte if of_number(*byte) => rest.iter().take_while(|byte| of_number(**byte)).count(),
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        match whole(token).filter(|_| *first != b'"') {
            Some(whole) => {
                written.extend(whole.to_string().into_bytes());
                changed = true;
            }
            None => written.extend_from_slice(token),
        }
        rest = after;
    }
    changed.then_some(written)
}

/// The length of the string that a text begins with, its quotes included.
fn end_of_string(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The integer that a number with a fraction or an exponent is, read exactly.
fn whole(number: &[u8]) -> Option<i64> {
    if !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return None;
    }
    let number = kernel::number::decimal(std::str::from_utf8(number).ok()?)?;
    number.normalize().to_string().parse().ok()
}

/// The parameters of a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send + 'static, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extract::<axum::extract::Path<T>>().await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                use axum::extract::path::ErrorKind;
                let (field, problem) = match error.into_kind() {
                    ErrorKind::DeserializeError { key, message, .. } => (key, message),
                    ErrorKind::Message(message) => ("id".to_owned(), message),
                    _ => ("path".to_owned(), "must be UTF-8 after percent-decoding".to_owned()),
                };
                Err(Error::malformed_field("malformed_id", field, problem).into())
            }
            Err(_) => Err(Error::malformed("malformed_path", "the path cannot be read").into()),
        }
    }
}

/// The query parameters of a request; unknown ones are refused where the type denies them.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(read_query(parts.uri.query().unwrap_or_default())?))
    }
}

/// Reads query parameters; names one that cannot be read.
pub(crate) fn read_query<T: DeserializeOwned>(query: &str) -> kernel::Result<T> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map_err(|error| {
        let path = error.path().to_string();
        Error::unreadable_field(&path, &error.into_inner().to_string())
    })
}

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// The things, in the order of the list.
    pub data: Vec<T>,
    /// Pass it as `cursor` to go on; null on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// A reply of 201 with what was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Created<T>(pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self.0)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Color {
        Red,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Paint {
        #[expect(dead_code, reason = "only read")]
        color: Color,
    }

    fn check(body: &str, code: &str, field: &str) {
        let problem = parse::<Paint>(body.as_bytes())
            .err()
            .map(|problem| problem.details("id"));
        let details = serde_json::to_value(problem).unwrap();
        assert_eq!(details["code"], code, "{body}");
        assert_eq!(
            details["errors"][0]["field"].as_str().unwrap_or_default(),
            field,
            "{body}"
        );
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bucket {
        litres: u8,
        label: Option<String>,
        share: Option<f64>,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (number, litres) in [
            ("60", 60),
            ("60.0", 60),
            ("6e1", 60),
            ("6.0E+1", 60),
            ("600.00e-1", 60),
            ("-0.0", 0),
        ] {
            let body = format!(r#"{{"litres":{number},"label":"a \\\"1.0\\","share":2.50}}"#);
            let read = parse::<Bucket>(body.as_bytes()).unwrap();
            let all = (read.litres, read.label.as_deref(), read.share);
            assert_eq!(all, (litres, Some(r#"a \"1.0\"#), Some(2.5)), "{body}");
        }
        for number in [
            "60.5",
            "1e-400",
            "1.0000000000000000000000001",
            "256.0",
            "1e400",
            "-1.0",
        ] {
            let body = format!(r#"{{"litres":{number}}}"#);
            assert_eq!(
                parse::<Bucket>(body.as_bytes()).unwrap_err().details("id").status,
                400,
                "{body}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert!(parse::<Paint>(br#"{"color":"red"}"#).is_ok());
        check("{", "malformed_json", "");
        check(r#"{"color":"red"} x"#, "malformed_json", "");
        check(r#"{"color":nul}"#, "malformed_json", "");
        check(r#"["red"]"#, "wrong_type", "body");
        check("{}", "missing_field", "color");
        check(r#"{"color":"red","x":1}"#, "unknown_field", "x");
        for wrong in [Value::Null, 5.into(), "blue".into(), Value::Array(vec![])] {
            check(
                &serde_json::json!({ "color": wrong }).to_string(),
                "wrong_type",
                "color",
            );
        }
    }
}

//! Signature version 4 in a header or in a query, verified: whoever has an address that somebody signed for him is nobody
//! we know, so here it matters. Every access key has the one secret of the local stack.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use http::request::Parts;
use jiff::Timestamp;
use jiff::fmt::strtime;

use super::error::{denied, invalid, refused};
use super::target::{decode, encode, query};
use crate::aws::SECRET;
use crate::aws::service::{ServiceError, text};
use crate::clock::Clock;

/// The longest that an address may be good for: a week.
const MAX_EXPIRES_S: i64 = 7 * 86_400;
/// How far a signature's time may be from ours.
const MAX_SKEW_MS: i64 = 15 * 60 * 1000;

/// What a signature says.
#[derive(Debug)]
struct Signature {
    /// `access key/date/region/service/aws4_request`.
    credential: String,
    signed_headers: String,
    /// In hexadecimal digits.
    digest: String,
    /// `20261127T110000Z`.
    date: String,
    /// For how long it is good, in seconds, where it stands in a query.
    expires_s: Option<i64>,
}

/// Finds the access key that a request claims.
pub(super) fn claimed(parts: &Parts) -> String {
    let header = crate::aws::iam::caller(text(&parts.headers, "authorization"));
    if !header.is_empty() {
        return header.to_owned();
    }
    let query = query(parts);
    let credential = query.iter().find(|(name, _)| name == "X-Amz-Credential");
    credential
        .and_then(|(_, credential)| credential.split('/').next())
        .unwrap_or_default()
        .to_owned()
}

/// Tells whether a request is signed for S3.
pub(super) fn is_for_s3(parts: &Parts) -> bool {
    let query = decode(parts.uri.query().unwrap_or_default());
    text(&parts.headers, "authorization").contains("/s3/aws4_request") || query.contains("/s3/aws4_request")
}

/// Verifies that a request was signed with the secret, by its bytes, and in time. The time of an address that was
/// signed runs by the test clock, from the moment by the machine's time at which it was signed.
pub(super) fn verify(parts: &Parts, clock: &Clock, real_ms: i64) -> Result<(), ServiceError> {
    let signature = read(parts)?;
    let scope: Vec<&str> = signature.credential.split('/').skip(1).collect();
    let [day, region, "s3", "aws4_request"] = scope[..] else {
        return Err(malformed("the credential is not of S3"));
    };
    let signed_ms = moment(&signature.date).filter(|_| signature.date.starts_with(day));
    let signed_ms =
        signed_ms.ok_or_else(|| invalid("AuthorizationQueryParametersError", "the date of the signature is none"))?;
    check_headers(parts, &signature)?;
    let expected = sign(parts, &signature, day, region);
    let given = hex::decode(&signature.digest).unwrap_or_default();
    if aws_lc_rs::constant_time::verify_slices_are_equal(&expected, &given).is_err() {
        let message = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
        return Err(refused(http::StatusCode::FORBIDDEN, "SignatureDoesNotMatch", message));
    }
    check_time(&signature, signed_ms, clock, real_ms)
}

fn read(parts: &Parts) -> Result<Signature, ServiceError> {
    match text(&parts.headers, "authorization").strip_prefix("AWS4-HMAC-SHA256 ") {
        Some(fields) => of_header(parts, fields),
        None => of_query(&query(parts)),
    }
}

fn of_header(parts: &Parts, fields: &str) -> Result<Signature, ServiceError> {
    let field = |name: &str| {
        let mut all = fields.split(',').map(str::trim);
        let found = all.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        let missing = || {
            invalid(
                "AuthorizationHeaderMalformed",
                format_args!("the Authorization header has no {name}"),
            )
        };
        found.map(str::to_owned).ok_or_else(missing)
    };
    Ok(Signature {
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        digest: field("Signature")?,
        date: text(&parts.headers, "x-amz-date").to_owned(),
        expires_s: None,
    })
}

fn of_query(query: &[(String, String)]) -> Result<Signature, ServiceError> {
    let field = |name: &str| {
        let found = query.iter().find(|(known, _)| known == name);
        let missing = || malformed(format_args!("the query has no {name}"));
        found.map(|(_, value)| value.clone()).ok_or_else(missing)
    };
    let Ok(digest) = field("X-Amz-Signature") else {
        return Err(denied("the request is not signed with signature version 4"));
    };
    if field("X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
        return Err(malformed("X-Amz-Algorithm must be AWS4-HMAC-SHA256"));
    }
    let expires_s = field("X-Amz-Expires")?.parse().ok();
    let expires_s = expires_s.filter(|expires| (1..=MAX_EXPIRES_S).contains(expires));
    Ok(Signature {
        credential: field("X-Amz-Credential")?,
        signed_headers: field("X-Amz-SignedHeaders")?,
        digest,
        date: field("X-Amz-Date")?,
        expires_s: Some(expires_s.ok_or_else(|| malformed("X-Amz-Expires must be between 1 and 604800"))?),
    })
}

fn malformed(message: impl std::fmt::Display) -> ServiceError {
    invalid("AuthorizationQueryParametersError", message)
}

/// Refuses headers that mean something to S3 and are not signed, and signatures that leave out the host.
fn check_headers(parts: &Parts, signature: &Signature) -> Result<(), ServiceError> {
    let signed: Vec<&str> = signature.signed_headers.split(';').collect();
    let names = parts.headers.keys().map(http::HeaderName::as_str);
    let unsigned: Vec<&str> = names
        .filter(|name| name.starts_with("x-amz-") && !signed.contains(name))
        .collect();
    if !unsigned.is_empty() {
        let message = format!(
            "There were headers present in the request which were not signed: {}",
            unsigned.join(", ")
        );
        return Err(denied(message));
    }
    if !signed.contains(&"host") {
        return Err(denied("the host is not signed"));
    }
    Ok(())
}

fn check_time(signature: &Signature, signed_ms: i64, clock: &Clock, real_ms: i64) -> Result<(), ServiceError> {
    let age_ms = real_ms - signed_ms;
    let Some(expires_s) = signature.expires_s else {
        return if age_ms.abs() > MAX_SKEW_MS {
            let message = "The difference between the request time and the current time is too large.";
            Err(refused(http::StatusCode::FORBIDDEN, "RequestTimeTooSkewed", message))
        } else {
            Ok(())
        };
    };
    if age_ms < -MAX_SKEW_MS {
        return Err(denied("Request is not yet valid"));
    }
    if age_ms + clock.moved_since(signed_ms) > expires_s * 1000 {
        return Err(denied("Request has expired"));
    }
    Ok(())
}

/// Reads `20261127T110000Z` as milliseconds since 1970.
fn moment(date: &str) -> Option<i64> {
    let time = strtime::parse("%Y%m%dT%H%M%SZ", date).ok()?.to_datetime().ok()?;
    let time: Timestamp = jiff::tz::Offset::UTC.to_timestamp(time).ok()?;
    Some(time.as_millisecond())
}

fn sign(parts: &Parts, signature: &Signature, day: &str, region: &str) -> Vec<u8> {
    let payload = match signature.expires_s {
        Some(_) => "UNSIGNED-PAYLOAD",
        None => text(&parts.headers, "x-amz-content-sha256"),
    };
    let mut pairs: Vec<(String, String)> = query(parts)
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encode(name, false), encode(value, false)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers: String = signature
        .signed_headers
        .split(';')
        .map(|name| header_line(parts, name))
        .collect();
    let request = format!(
        "{}\n{}\n{}\n{headers}\n{}\n{payload}",
        parts.method,
        encode(&decode(parts.uri.path()), true),
        pairs.join("&"),
        signature.signed_headers,
    );
    let request = hex::encode(digest(&SHA256, request.as_bytes()));
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{request}", signature.date);
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in [day, region, "s3", "aws4_request", &text] {
        key = hmac::sign(&hmac::Key::new(HMAC_SHA256, &key), part.as_bytes())
            .as_ref()
            .to_vec();
    }
    key
}

fn header_line(parts: &Parts, name: &str) -> String {
    let values = parts
        .headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let values: Vec<String> = values
        .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    format!("{name}:{}\n", values.join(","))
}

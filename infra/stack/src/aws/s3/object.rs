//! Objects in one piece: putting, getting and deleting them.

use std::fmt::Write as _;
use std::io::SeekFrom;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::error::{denied, failed, invalid, missing, refused, xml};
use super::store::{Object, new_file};
use super::target::Target;
use super::{S3, body};
use crate::aws::s3::error::escape;
use crate::aws::service::{ServiceError, text};

/// Headers that come back with an object as they were given.
const KEPT: [&str; 6] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];
/// The most keys of one request.
const MAX_KEYS: usize = 1_000;
/// The largest request that is no object.
const MAX_DOCUMENT: usize = 2 * 1024 * 1024;
/// How much of a file is read at once.
const PIECE: u64 = 64 * 1024;

/// Collects the headers that come back with an object.
pub(super) fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for name in headers.keys().map(HeaderName::as_str) {
        let mut value = text(headers, name).to_owned();
        if name == "content-encoding" {
            // How the body was sent is no property of the object.
            let rest: Vec<&str> = value
                .split(',')
                .map(str::trim)
                .filter(|part| *part != "aws-chunked")
                .collect();
            value = rest.join(",");
        }
        if (KEPT.contains(&name) || name.starts_with("x-amz-meta-")) && !value.is_empty() {
            kept.push((name.to_owned(), value));
        }
    }
    kept
}

/// Reads a small XML document.
pub(super) async fn document(body: Body) -> Result<String, ServiceError> {
    let bytes = axum::body::to_bytes(body, MAX_DOCUMENT).await;
    let bytes = bytes.map_err(|_| invalid("MalformedXML", "the document is too large"))?;
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed())
}

pub(super) fn malformed() -> ServiceError {
    invalid(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

/// Sets a header, if its value can be one.
pub(super) fn set(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}

impl S3 {
    /// Takes an object in one piece.
    pub(super) async fn put_object(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, ServiceError> {
        let only_new = match text(headers, "if-none-match") {
            "" => false,
            "*" => true,
            other => {
                return Err(super::error::not_served(format_args!(
                    "PutObject with if-none-match: {other}"
                )));
            }
        };
        let file = new_file();
        let kept = body::keep(body, headers, &self.objects.path(&file)).await;
        let kept = kept.inspect_err(|_| self.objects.discard([file.clone()]))?;
        let object = Object::of(&target.key, &file, kept, kept_headers(headers), self.clock.now_ms());
        if !self.objects.put(&target.bucket, &object, only_new).map_err(failed)? {
            self.objects.discard([file]);
            let message = "At least one of the pre-conditions you specified did not hold";
            return Err(refused(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message));
        }
        let mut response = Response::default();
        set(&mut response, "etag", &format!("\"{}\"", object.etag));
        if let Some((name, value)) = &object.checksum {
            set(&mut response, name, value);
        }
        Ok(response)
    }

    /// Yields an object, or its head. Whoever may not list the bucket does not learn that an object is not there.
    pub(super) async fn get_object(
        &self,
        target: &Target,
        parts: &Parts,
        caller: &str,
    ) -> Result<Response, ServiceError> {
        let Some(object) = self.objects.find(&target.bucket, &target.key).map_err(failed)? else {
            let bucket = self.bucket(&target.bucket)?.arn();
            return Err(if self.may(caller, "s3:ListBucket", &bucket) {
                missing("NoSuchKey", "The specified key does not exist.")
            } else {
                denied("Access Denied")
            });
        };
        let mut response = Response::default();
        describe(&mut response, &object);
        if let Some(status) = condition(&parts.headers, &object.etag) {
            if status == StatusCode::PRECONDITION_FAILED {
                let message = "At least one of the pre-conditions you specified did not hold";
                return Err(refused(status, "PreconditionFailed", message));
            }
            *response.status_mut() = status;
            return Ok(response);
        }
        for (name, value) in &target.query {
            if let Some(name) = name.strip_prefix("response-") {
                set(&mut response, name, value);
            }
        }
        let range = range(text(&parts.headers, "range"), object.size)?;
        let (first, length) = range.unwrap_or((0, object.size));
        if range.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let last = (first + length).saturating_sub(1);
            set(
                &mut response,
                "content-range",
                &format!("bytes {first}-{last}/{}", object.size),
            );
        } else if let Some((name, value)) = object.checksum.as_ref().filter(|_| wants_checksum(parts)) {
            set(&mut response, name, value);
        }
        set(&mut response, "content-length", &length.to_string());
        if parts.method != Method::HEAD {
            *response.body_mut() = self.read(&object.file, first, length).await.map_err(failed)?;
        }
        Ok(response)
    }

    async fn read(&self, file: &str, first: u64, length: u64) -> std::io::Result<Body> {
        let mut file = File::open(self.objects.path(file)).await?;
        file.seek(SeekFrom::Start(first)).await?;
        let pieces = stream::try_unfold((file, length), |(mut file, left)| async move {
            if left == 0 {
                return Ok::<_, std::io::Error>(None);
            }
            let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or_default()];
            file.read_exact(&mut piece).await?;
            let left = left - piece.len() as u64;
            Ok(Some((Bytes::from(piece), (file, left))))
        });
        Ok(Body::from_stream(pieces))
    }

    /// Deletes an object; one that is not there as well.
    pub(super) fn delete_object(&self, target: &Target) -> Result<Response, ServiceError> {
        self.objects.delete(&target.bucket, &target.key).map_err(failed)?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// Deletes objects by a list of keys, each that the caller may.
    pub(super) async fn delete_objects(
        &self,
        target: &Target,
        caller: &str,
        body: Body,
    ) -> Result<Response, ServiceError> {
        let document = document(body).await?;
        let document = roxmltree::Document::parse(&document).map_err(|_| malformed())?;
        let text_of = |node: &roxmltree::Node, name: &str| -> Option<String> {
            let child = node.children().find(|child| child.has_tag_name(name))?;
            Some(child.text().unwrap_or_default().to_owned())
        };
        let is_quiet = text_of(&document.root_element(), "Quiet").as_deref() == Some("true");
        let named = document
            .root_element()
            .children()
            .filter(|node| node.has_tag_name("Object"));
        let keys: Vec<String> = named.filter_map(|node| text_of(&node, "Key")).collect();
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(malformed());
        }
        let bucket = self.bucket(&target.bucket)?.arn();
        let mut out = String::new();
        for key in keys {
            let shown = escape(&key);
            if !self.may(caller, "s3:DeleteObject", &format!("{bucket}/{key}")) {
                let _ = write!(
                    out,
                    "<Error><Key>{shown}</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
                );
                continue;
            }
            self.objects.delete(&target.bucket, &key).map_err(failed)?;
            if !is_quiet {
                let _ = write!(out, "<Deleted><Key>{shown}</Key></Deleted>");
            }
        }
        Ok(xml(&format!("<DeleteResult>{out}</DeleteResult>")))
    }
}

fn wants_checksum(parts: &Parts) -> bool {
    text(&parts.headers, "x-amz-checksum-mode") == "ENABLED"
}

fn describe(response: &mut Response, object: &Object) {
    set(response, "content-type", "binary/octet-stream");
    for (name, value) in &object.headers {
        set(response, name, value);
    }
    set(response, "etag", &format!("\"{}\"", object.etag));
    set(response, "accept-ranges", "bytes");
    let modified = Timestamp::from_millisecond(object.modified_ms).unwrap_or_default();
    let modified = modified.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    set(response, header::LAST_MODIFIED.as_str(), &modified);
}

/// Decides on the conditions of a request: 304 or 412, where one of them does not hold.
fn condition(headers: &HeaderMap, etag: &str) -> Option<StatusCode> {
    let names = |list: &str| {
        list.split(',')
            .any(|one| matches!(one.trim(), "*") || one.trim().trim_matches('"') == etag)
    };
    let (wanted, unwanted) = (text(headers, "if-match"), text(headers, "if-none-match"));
    if !wanted.is_empty() && !names(wanted) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    (!unwanted.is_empty() && names(unwanted)).then_some(StatusCode::NOT_MODIFIED)
}

/// Reads a range as its first byte and its length; what is no range of bytes is none.
fn range(header: &str, size: u64) -> Result<Option<(u64, u64)>, ServiceError> {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let (first, last) = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => (first, size.saturating_sub(1)),
        (Some(first), Some(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        (None, Some(count)) if first.is_empty() => (size.saturating_sub(count), size.saturating_sub(1)),
        _ => return Ok(None),
    };
    if first >= size || last < first {
        let message = "The requested range is not satisfiable";
        return Err(refused(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message));
    }
    Ok(Some((first, last - first + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_range(header: &str, expected: Option<(u64, u64)>) {
        assert_eq!(range(header, 10).unwrap(), expected, "{header}");
    }

    #[test]
    fn ranges_are_within_the_object() {
        check_range("bytes=0-3", Some((0, 4)));
        check_range("bytes=4-", Some((4, 6)));
        check_range("bytes=8-99", Some((8, 2)));
        check_range("bytes=-3", Some((7, 3)));
        check_range("bytes=-99", Some((0, 10)));
        check_range("", None);
        check_range("bytes=3-1", None);
        check_range("lines=1-2", None);
        for header in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
            assert!(range(header, 10).is_err(), "{header}");
        }
    }
}

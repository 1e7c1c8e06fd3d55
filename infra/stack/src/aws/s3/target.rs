//! What a request to S3 is about: a bucket, a key in it, and the parameters of its query.

use std::fmt::Write as _;

use http::request::Parts;

use crate::aws::service::text;

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The bucket; empty if the request is about all of them.
    pub(super) bucket: String,
    /// The key; empty if the request is about the bucket.
    pub(super) key: String,
    /// The query, decoded.
    pub(super) query: Vec<(String, String)>,
}

impl Target {
    /// Reads it from a path, `/bucket/key`, or from a host, `bucket.localhost`.
    pub(super) fn of(parts: &Parts) -> Self {
        let path = decode(parts.uri.path().trim_start_matches('/'));
        let host = text(&parts.headers, "host");
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let (bucket, key) = match name.strip_suffix(".localhost") {
            Some(bucket) => (bucket.to_owned(), path),
            None => match path.split_once('/') {
                Some((bucket, key)) => (bucket.to_owned(), key.to_owned()),
                None => (path, String::new()),
            },
        };
        Self {
            bucket,
            key,
            query: query(parts),
        }
    }

    /// Finds a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Names the ARN of the object, or of the bucket.
    pub(super) fn arn(&self) -> String {
        let bucket = crate::template::bucket_arn(&self.bucket);
        if self.key.is_empty() {
            bucket
        } else {
            format!("{bucket}/{}", self.key)
        }
    }
}

/// Reads the parameters of a query, decoded, in their order.
pub(super) fn query(parts: &Parts) -> Vec<(String, String)> {
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

pub(super) fn decode(text: &str) -> String {
    crate::gateway::decode(text)
}

/// Encodes a text as signatures have it: all but letters, digits, `-`, `.`, `_`, `~`, and slashes if they are to stay.
pub(super) fn encode(text: &str, keeps_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keeps_slashes && byte == b'/');
        if plain {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

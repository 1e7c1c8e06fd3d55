//! Which operation a request asks for, and what that needs to be allowed.

use axum::http::Method;
use http::HeaderMap;
use http::request::Parts;

use super::error::not_served;
use super::target::Target;
use crate::aws::iam::Need;
use crate::aws::service::{ServiceError, text};

/// An operation of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    ListBuckets,
    HeadBucket,
    GetBucketLocation,
    ListObjectsV2,
    ListMultipartUploads,
    DeleteObjects,
    PutObject,
    GetObject,
    HeadObject,
    DeleteObject,
    CreateMultipartUpload,
    UploadPart,
    ListParts,
    CompleteMultipartUpload,
    AbortMultipartUpload,
}

use Operation::{
    AbortMultipartUpload, CompleteMultipartUpload, CreateMultipartUpload, DeleteObject, DeleteObjects,
    GetBucketLocation, GetObject, HeadBucket, HeadObject, ListBuckets, ListMultipartUploads, ListObjectsV2, ListParts,
    PutObject, UploadPart,
};

/// Headers `x-amz-…` that are read, or that say how a request is signed, in every operation.
const HEADERS: [&str; 8] = [
    "content-sha256",
    "date",
    "decoded-content-length",
    "expected-bucket-owner",
    "sdk-checksum-algorithm",
    "security-token",
    "trailer",
    "user-agent",
];
/// Headers that say what AWS does by itself, with the one value that it does by itself.
const DEFAULTS: [(&str, &[&str]); 3] = [
    ("acl", &["private", "bucket-owner-full-control"]),
    ("server-side-encryption", &["AES256"]),
    ("storage-class", &["STANDARD"]),
];

impl Operation {
    /// Finds the operation; an error names what is not served.
    pub(super) fn of(parts: &Parts, target: &Target) -> Result<Self, ServiceError> {
        let has = |name: &str| target.parameter(name).is_some();
        let is_about = (!target.bucket.is_empty(), !target.key.is_empty());
        let operation = match (&parts.method, is_about) {
            (&Method::GET, (false, _)) => ListBuckets,
            (&Method::HEAD, (true, false)) => HeadBucket,
            (&Method::GET, (true, false)) if has("location") => GetBucketLocation,
            (&Method::GET, (true, false)) if has("uploads") => ListMultipartUploads,
            (&Method::GET, (true, false)) if target.parameter("list-type") == Some("2") => ListObjectsV2,
            (&Method::POST, (true, false)) if has("delete") => DeleteObjects,
            (&Method::GET, (true, true)) if has("uploadId") => ListParts,
            (&Method::GET, (true, true)) => GetObject,
            (&Method::HEAD, (true, true)) => HeadObject,
            (&Method::PUT, (true, true)) if has("uploadId") => UploadPart,
            (&Method::PUT, (true, true)) => PutObject,
            (&Method::POST, (true, true)) if has("uploads") => CreateMultipartUpload,
            (&Method::POST, (true, true)) if has("uploadId") => CompleteMultipartUpload,
            (&Method::DELETE, (true, true)) if has("uploadId") => AbortMultipartUpload,
            (&Method::DELETE, (true, true)) => DeleteObject,
            (method, _) => return Err(not_served(format_args!("{method} {}", parts.uri))),
        };
        operation.check_query(target)?;
        operation.check_headers(&parts.headers)?;
        Ok(operation)
    }

    fn parameters(self) -> &'static [&'static str] {
        match self {
            ListBuckets | HeadBucket | PutObject | DeleteObject => &[],
            GetBucketLocation => &["location"],
            ListObjectsV2 => &[
                "continuation-token",
                "delimiter",
                "encoding-type",
                "fetch-owner",
                "list-type",
                "max-keys",
                "prefix",
                "start-after",
            ],
            ListMultipartUploads => &["encoding-type", "key-marker", "max-uploads", "prefix", "uploads"],
            DeleteObjects => &["delete"],
            GetObject | HeadObject => &[
                "response-cache-control",
                "response-content-disposition",
                "response-content-encoding",
                "response-content-language",
                "response-content-type",
                "response-expires",
            ],
            CreateMultipartUpload => &["uploads"],
            UploadPart => &["partNumber", "uploadId"],
            ListParts => &["max-parts", "part-number-marker", "uploadId"],
            CompleteMultipartUpload | AbortMultipartUpload => &["uploadId"],
        }
    }

    fn check_query(self, target: &Target) -> Result<(), ServiceError> {
        let known = self.parameters();
        let names = target.query.iter().map(|(name, _)| name.as_str());
        let mut others = names.filter(|name| !known.contains(name) && !name.starts_with("X-Amz-") && *name != "x-id");
        match others.next() {
            Some(name) => Err(not_served(format_args!("{self:?} with {name}"))),
            None => Ok(()),
        }
    }

    fn check_headers(self, headers: &HeaderMap) -> Result<(), ServiceError> {
        for name in headers.keys().map(http::HeaderName::as_str) {
            let Some(own) = name.strip_prefix("x-amz-") else {
                continue;
            };
            let is_known = match own {
                own if HEADERS.contains(&own) => true,
                "checksum-algorithm" | "checksum-type" => self == CreateMultipartUpload,
                "checksum-mode" => matches!(self, GetObject | HeadObject),
                own if own.starts_with("checksum-") => matches!(self, PutObject | UploadPart | DeleteObjects),
                own if own.starts_with("meta-") => matches!(self, PutObject | CreateMultipartUpload),
                own => DEFAULTS
                    .iter()
                    .any(|(known, values)| *known == own && values.contains(&text(headers, name))),
            };
            if !is_known {
                return Err(not_served(format_args!(
                    "{self:?} with {name}: {}",
                    text(headers, name)
                )));
            }
        }
        let conditions: &[&str] = match self {
            GetObject | HeadObject => &["if-modified-since", "if-unmodified-since"],
            PutObject => &["if-match", "if-modified-since", "if-unmodified-since"],
            _ => &["if-match", "if-modified-since", "if-none-match", "if-unmodified-since"],
        };
        match conditions.iter().find(|name| headers.contains_key(**name)) {
            Some(name) => Err(not_served(format_args!("{self:?} with {name}"))),
            None => Ok(()),
        }
    }

    /// Lists what it needs. Deleting many asks for each key, once the keys are read.
    pub(super) fn needs(self, target: &Target) -> Vec<Need> {
        let need = |action: &str| vec![Need::of(format!("s3:{action}"), target.arn())];
        let prefix = target.parameter("prefix").map(str::to_owned);
        match self {
            ListBuckets => vec![Need::of("s3:ListAllMyBuckets", "*")],
            HeadBucket => need("ListBucket"),
            ListObjectsV2 => need("ListBucket")
                .into_iter()
                .map(|need| need.with("s3:prefix", prefix.clone().into_iter().collect()))
                .collect(),
            GetBucketLocation => need("GetBucketLocation"),
            ListMultipartUploads => need("ListBucketMultipartUploads"),
            DeleteObjects => Vec::new(),
            PutObject | CreateMultipartUpload | UploadPart | CompleteMultipartUpload => need("PutObject"),
            GetObject | HeadObject => need("GetObject"),
            DeleteObject => need("DeleteObject"),
            ListParts => need("ListMultipartUploadParts"),
            AbortMultipartUpload => need("AbortMultipartUpload"),
        }
    }
}

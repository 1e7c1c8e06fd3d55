//! Lists: of buckets, objects, uploads and parts.

use std::fmt::Write as _;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::S3;
use super::error::{escape, failed, invalid, xml};
use super::store::Object;
use super::target::{Target, encode};
use crate::aws::service::ServiceError;
use crate::clock::rfc3339;

/// The most entries of one page.
const PAGE: usize = 1_000;

fn most(target: &Target, name: &str) -> Result<usize, ServiceError> {
    match target.parameter(name).map(str::parse) {
        None => Ok(PAGE),
        Some(Ok(most)) => Ok(PAGE.min(most)),
        Some(Err(_)) => Err(invalid("InvalidArgument", format_args!("{name} is no number"))),
    }
}

/// Writes a key as the request wants it.
fn shown(target: &Target, key: &str) -> String {
    match target.parameter("encoding-type") {
        Some("url") => encode(key, true),
        _ => escape(key),
    }
}

/// Tells a client that it has to decode the keys.
fn encoding(target: &Target) -> &'static str {
    match target.parameter("encoding-type") {
        Some("url") => "<EncodingType>url</EncodingType>",
        _ => "",
    }
}

impl S3 {
    pub(super) fn list_buckets(&self) -> Response {
        let mut out = String::new();
        for bucket in self.buckets.iter() {
            let _ = write!(
                out,
                "<Bucket><Name>{}</Name><CreationDate>{}</CreationDate></Bucket>",
                escape(&bucket.name),
                rfc3339(0)
            );
        }
        xml(&format!(
            "<ListAllMyBucketsResult><Buckets>{out}</Buckets></ListAllMyBucketsResult>"
        ))
    }

    pub(super) fn list_objects(&self, target: &Target) -> Result<Response, ServiceError> {
        let most = most(target, "max-keys")?;
        let mut listing = Listing::of(target, most)?;
        loop {
            let page = self.objects.list(&target.bucket, listing.prefix, &listing.after, PAGE);
            let page = page.map_err(failed)?;
            let is_last = page.len() < PAGE;
            if !page.into_iter().all(|object| listing.add(target, object)) || is_last {
                break;
            }
        }
        Ok(xml(&format!(
            "<ListBucketResult><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{most}</MaxKeys><IsTruncated>{}</IsTruncated>{}{}{}{}</ListBucketResult>",
            escape(&target.bucket),
            shown(target, listing.prefix),
            listing.count,
            listing.is_truncated,
            encoding(target),
            listing.next_token(),
            listing.contents,
            listing.folders,
        )))
    }

    pub(super) fn list_uploads(&self, target: &Target) -> Result<Response, ServiceError> {
        let most = most(target, "max-uploads")?;
        let prefix = target.parameter("prefix").unwrap_or_default();
        let after = target.parameter("key-marker").unwrap_or_default();
        let uploads = self.objects.uploads(&target.bucket).map_err(failed)?;
        let mut own = uploads
            .iter()
            .filter(|upload| upload.key.starts_with(prefix) && upload.key.as_str() > after);
        let mut out = String::new();
        for upload in own.by_ref().take(most) {
            let _ = write!(
                out,
                "<Upload><Key>{}</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>",
                shown(target, &upload.key),
                upload.id,
                rfc3339(upload.begun_ms)
            );
        }
        let is_truncated = own.next().is_some();
        Ok(xml(&format!(
            "<ListMultipartUploadsResult><Bucket>{}</Bucket><MaxUploads>{most}</MaxUploads><IsTruncated>{is_truncated}</IsTruncated>{}{out}</ListMultipartUploadsResult>",
            escape(&target.bucket),
            encoding(target)
        )))
    }

    pub(super) fn list_parts(&self, target: &Target) -> Result<Response, ServiceError> {
        let most = most(target, "max-parts")?;
        let after: u32 = target
            .parameter("part-number-marker")
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let upload = self.upload(target)?;
        let parts = self.objects.parts(&upload.id).map_err(failed)?;
        let mut own = parts.iter().filter(|part| part.number > after).peekable();
        let (mut out, mut last) = (String::new(), after);
        for part in own.by_ref().take(most) {
            last = part.number;
            let _ = write!(
                out,
                "<Part><PartNumber>{}</PartNumber><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size></Part>",
                part.number,
                rfc3339(part.modified_ms),
                part.etag,
                part.size
            );
        }
        let is_truncated = own.peek().is_some();
        Ok(xml(&format!(
            "<ListPartsResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{}</UploadId><PartNumberMarker>{after}</PartNumberMarker><NextPartNumberMarker>{last}</NextPartNumberMarker><MaxParts>{most}</MaxParts><IsTruncated>{is_truncated}</IsTruncated>{out}</ListPartsResult>",
            escape(&target.bucket),
            escape(&target.key),
            upload.id
        )))
    }
}

/// A page of objects in the making.
struct Listing<'a> {
    prefix: &'a str,
    delimiter: Option<&'a str>,
    most: usize,
    /// The key after which the list goes on.
    after: String,
    /// The folder that was listed last; whatever else lies in it is not listed.
    folder: Option<String>,
    count: usize,
    is_truncated: bool,
    contents: String,
    folders: String,
}

impl<'a> Listing<'a> {
    fn of(target: &'a Target, most: usize) -> Result<Self, ServiceError> {
        let after = match target.parameter("continuation-token") {
            Some(token) => {
                let key = STANDARD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
                key.ok_or_else(|| invalid("InvalidArgument", "The continuation token provided is incorrect"))?
            }
            None => target.parameter("start-after").unwrap_or_default().to_owned(),
        };
        Ok(Self {
            prefix: target.parameter("prefix").unwrap_or_default(),
            delimiter: target.parameter("delimiter").filter(|delimiter| !delimiter.is_empty()),
            most,
            after,
            folder: None,
            count: 0,
            is_truncated: false,
            contents: String::new(),
            folders: String::new(),
        })
    }

    /// Adds an object, or the folder that it lies in. Says whether there is room for more.
    fn add(&mut self, target: &Target, object: Object) -> bool {
        let folder = self.delimiter.and_then(|delimiter| {
            let end = object.key[self.prefix.len()..].find(delimiter)? + delimiter.len();
            Some(object.key[..self.prefix.len() + end].to_owned())
        });
        if folder.is_some() && folder == self.folder {
            self.after = object.key;
            return true;
        }
        if self.count == self.most {
            self.is_truncated = true;
            return false;
        }
        self.count += 1;
        if let Some(folder) = &folder {
            let prefix = shown(target, folder);
            let _ = write!(
                self.folders,
                "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"
            );
        } else {
            let _ = write!(
                self.contents,
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                shown(target, &object.key),
                rfc3339(object.modified_ms),
                object.etag,
                object.size
            );
        }
        self.folder = folder;
        self.after = object.key;
        true
    }

    fn next_token(&self) -> String {
        let after = match &self.folder {
            _ if !self.is_truncated => return String::new(),
            // Behind all that can lie in it.
            Some(folder) => format!("{folder}\u{10FFFF}"),
            None => self.after.clone(),
        };
        format!(
            "<NextContinuationToken>{}</NextContinuationToken>",
            STANDARD.encode(after)
        )
    }
}

//! Uploads in parts: begun, given parts in any order and with gaps in their numbers, completed or aborted.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::error::{escape, failed, invalid, missing, xml};
use super::object::{document, kept_headers, malformed, set};
use super::store::{Object, Part, Upload, new_file};
use super::target::Target;
use super::{S3, body};
use crate::aws::service::ServiceError;

/// Every part but the last has at least 5 MiB.
const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;
/// The highest number of a part.
const MAX_PART: u32 = 10_000;

/// A part as the client names it.
#[derive(Debug)]
struct Named {
    number: u32,
    etag: String,
    /// Algorithm and value.
    checksums: Vec<(String, String)>,
}

fn no_such_upload() -> ServiceError {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.";
    missing("NoSuchUpload", message)
}

impl S3 {
    /// Begins an upload.
    pub(super) fn create_upload(&self, target: &Target, headers: &HeaderMap) -> Result<Response, ServiceError> {
        let upload = Upload {
            id: new_file(),
            key: target.key.clone(),
            headers: kept_headers(headers),
            begun_ms: self.clock.now_ms(),
        };
        self.objects.begin(&target.bucket, &upload).map_err(failed)?;
        Ok(xml(&format!(
            "<InitiateMultipartUploadResult><Bucket>{}</Bucket><Key>{}</Key><UploadId>{}</UploadId></InitiateMultipartUploadResult>",
            escape(&target.bucket),
            escape(&target.key),
            upload.id
        )))
    }

    pub(super) fn upload(&self, target: &Target) -> Result<Upload, ServiceError> {
        let id = target.parameter("uploadId").unwrap_or_default();
        let upload = self.objects.upload(&target.bucket, &target.key, id);
        upload.map_err(failed)?.ok_or_else(no_such_upload)
    }

    /// Takes a part, in the place of another with its number.
    pub(super) async fn upload_part(
        &self,
        target: &Target,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Response, ServiceError> {
        let number = target.parameter("partNumber").and_then(|number| number.parse().ok());
        let number = number.filter(|number| (1..=MAX_PART).contains(number)).ok_or_else(|| {
            invalid(
                "InvalidArgument",
                "Part number must be an integer between 1 and 10000, inclusive",
            )
        })?;
        let upload = self.upload(target)?;
        let file = new_file();
        let kept = body::keep(body, headers, &self.objects.path(&file)).await;
        let kept = kept.inspect_err(|_| self.objects.discard([file.clone()]))?;
        let part = Part {
            number,
            file,
            size: kept.size,
            etag: kept.md5,
            modified_ms: self.clock.now_ms(),
            checksum: kept.checksum,
        };
        if !self.objects.put_part(&upload.id, &part).map_err(failed)? {
            self.objects.discard([part.file]);
            return Err(no_such_upload());
        }
        let mut response = Response::default();
        set(&mut response, "etag", &format!("\"{}\"", part.etag));
        if let Some((algorithm, sum)) = &part.checksum {
            set(&mut response, &format!("x-amz-checksum-{algorithm}"), sum);
        }
        Ok(response)
    }

    /// Makes an object of the parts that are named. What is wrong with them leaves the upload as it is.
    pub(super) async fn complete_upload(&self, target: &Target, body: Body) -> Result<Response, ServiceError> {
        let named = read(&document(body).await?)?;
        let upload = self.upload(target)?;
        let known = self.objects.parts(&upload.id).map_err(failed)?;
        let parts = matched(&named, &known)?;
        let mut sums = md5::Context::new();
        for part in &parts {
            sums.consume(hex::decode(&part.etag).unwrap_or_default());
        }
        let files: Vec<String> = parts.iter().map(|part| part.file.clone()).collect();
        let objects = self.objects.clone();
        let joined = tokio::task::spawn_blocking(move || objects.join(&files))
            .await
            .map_err(failed)?;
        let object = Object {
            key: target.key.clone(),
            // A part may have been replaced meanwhile, and its file be gone.
            file: joined.map_err(|_| invalid_part())?,
            size: parts.iter().map(|part| part.size).sum(),
            etag: format!("{:x}-{}", sums.compute(), parts.len()),
            headers: upload.headers,
            modified_ms: self.clock.now_ms(),
            checksum: None,
        };
        if !self
            .objects
            .end(&target.bucket, &upload.id, Some(&object))
            .map_err(failed)?
        {
            self.objects.discard([object.file]);
            return Err(no_such_upload());
        }
        Ok(xml(&format!(
            "<CompleteMultipartUploadResult><Location>/{0}/{1}</Location><Bucket>{0}</Bucket><Key>{1}</Key><ETag>&quot;{2}&quot;</ETag></CompleteMultipartUploadResult>",
            escape(&target.bucket),
            escape(&target.key),
            object.etag
        )))
    }

    /// Ends an upload without an object.
    pub(super) fn abort_upload(&self, target: &Target) -> Result<Response, ServiceError> {
        let upload = self.upload(target)?;
        self.objects.end(&target.bucket, &upload.id, None).map_err(failed)?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

/// Reads the parts that a client names.
fn read(document: &str) -> Result<Vec<Named>, ServiceError> {
    let document = roxmltree::Document::parse(document).map_err(|_| malformed())?;
    let parts = document
        .root_element()
        .children()
        .filter(|node| node.has_tag_name("Part"));
    let parts: Vec<Named> = parts.map(|part| named(&part)).collect::<Result<_, _>>()?;
    if parts.is_empty() || parts.len() > MAX_PART as usize {
        return Err(malformed());
    }
    Ok(parts)
}

fn named(part: &roxmltree::Node) -> Result<Named, ServiceError> {
    let (mut number, mut etag, mut checksums) = (None, None, Vec::new());
    for child in part.children().filter(roxmltree::Node::is_element) {
        let text = child.text().unwrap_or_default().trim();
        match child.tag_name().name() {
            "PartNumber" => number = text.parse().ok(),
            "ETag" => etag = Some(text.trim_matches('"').to_owned()),
            name => {
                let algorithm = name.strip_prefix("Checksum").ok_or_else(malformed)?;
                checksums.push((algorithm.to_lowercase(), text.to_owned()));
            }
        }
    }
    Ok(Named {
        number: number.ok_or_else(malformed)?,
        etag: etag.ok_or_else(malformed)?,
        checksums,
    })
}

/// Finds the parts that are named, each with the `ETag` and the sums that it has.
fn matched<'a>(named: &[Named], known: &'a [Part]) -> Result<Vec<&'a Part>, ServiceError> {
    if !named.is_sorted_by(|a, b| a.number < b.number) {
        let message =
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.";
        return Err(invalid("InvalidPartOrder", message));
    }
    let find = |wanted: &Named| {
        let part = known
            .iter()
            .find(|part| part.number == wanted.number && part.etag == wanted.etag)?;
        let has = |sum: &(String, String)| part.checksum.as_ref() == Some(sum);
        wanted.checksums.iter().all(has).then_some(part)
    };
    let parts: Option<Vec<&Part>> = named.iter().map(find).collect();
    let parts = parts.ok_or_else(invalid_part)?;
    let but_last = &parts[..parts.len() - 1];
    if but_last.iter().any(|part| part.size < MIN_PART_BYTES) {
        let message = "Your proposed upload is smaller than the minimum allowed object size.";
        return Err(invalid("EntityTooSmall", message));
    }
    Ok(parts)
}

fn invalid_part() -> ServiceError {
    let message = "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the part's entity tag.";
    invalid("InvalidPart", message)
}

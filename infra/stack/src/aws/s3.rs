//! S3: objects in the buckets of the template, whole or uploaded in parts, by requests that are signed in a header or in
//! their address.
//!
//! What is served here is what a product with uploads needs; an operation, a parameter or a header that is not served is
//! an error that names it. Why not by a library: `docs/decisions/024-local-s3.md`.

mod body;
mod checksum;
mod cors;
mod error;
mod list;
mod object;
mod operation;
mod signature;
mod store;
mod target;
mod upload;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use axum::body::Body;
use axum::response::Response;
use futures::future::BoxFuture;
use http::StatusCode;
use http::request::Parts;

use super::iam::{Need, Policies};
use super::service::{Answer, Call, Service, ServiceError, text};
use super::store::Store;
use super::usage::Used;
use crate::chaos::Draw;
use crate::clock::{Clock, real_ms};
use crate::template::Bucket;
use error::{missing, refused};
use operation::Operation;
use store::Objects;
use target::Target;

const DAY_MS: i64 = 86_400_000;

/// The buckets of one stack.
#[derive(Debug, Clone)]
pub(super) struct S3 {
    buckets: Arc<[Bucket]>,
    objects: Objects,
    clock: Clock,
    policies: Arc<Policies>,
}

impl S3 {
    /// Opens the buckets, with their bytes in a folder, or in one for a while.
    pub(super) fn new(
        store: Store,
        folder: Option<PathBuf>,
        clock: &Clock,
        buckets: &[Bucket],
        policies: &Arc<Policies>,
    ) -> Result<Self> {
        Ok(Self {
            buckets: buckets.into(),
            objects: Objects::open(store, folder)?,
            clock: clock.clone(),
            policies: Arc::clone(policies),
        })
    }

    fn bucket(&self, name: &str) -> Result<&Bucket, ServiceError> {
        let known = self.buckets.iter().find(|bucket| bucket.name == name);
        known.ok_or_else(|| missing("NoSuchBucket", "The specified bucket does not exist"))
    }

    /// Deletes what the buckets' life cycles say, by the test clock.
    pub(super) fn sweep(&self) -> Result<()> {
        let now = self.clock.now_ms();
        let is_over =
            |begun_ms: i64, days: Option<u32>| days.is_some_and(|days| begun_ms + i64::from(days) * DAY_MS <= now);
        for bucket in self.buckets.iter() {
            for rule in &bucket.lifecycle {
                for upload in self.objects.uploads(&bucket.name)? {
                    if upload.key.starts_with(&rule.prefix) && is_over(upload.begun_ms, rule.aborts_after_days) {
                        self.objects.end(&bucket.name, &upload.id, None)?;
                    }
                }
                if rule.expires_after_days.is_none() {
                    continue;
                }
                for object in self.objects.list(&bucket.name, &rule.prefix, "", usize::MAX)? {
                    if is_over(object.modified_ms, rule.expires_after_days) {
                        self.objects.delete(&bucket.name, &object.key)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells whether a caller may do something; whoever is no function may do everything.
    fn may(&self, caller: &str, action: &str, arn: &str) -> bool {
        self.policies.check(caller, &[Need::of(action, arn)]).is_ok()
    }

    async fn run(&self, parts: &Parts, caller: &str, body: Body) -> Result<Response, ServiceError> {
        let target = Target::of(parts);
        if cors::is_preflight(parts) {
            return cors::preflight(&self.bucket(&target.bucket)?.cors, parts);
        }
        signature::verify(parts, &self.clock, real_ms())?;
        let operation = Operation::of(parts, &target)?;
        if operation != Operation::ListBuckets {
            self.bucket(&target.bucket)?;
        }
        match operation {
            Operation::ListBuckets => Ok(self.list_buckets()),
            Operation::HeadBucket => Ok(Response::default()),
            Operation::GetBucketLocation => Ok(error::xml("<LocationConstraint/>")),
            Operation::ListObjectsV2 => self.list_objects(&target),
            Operation::ListMultipartUploads => self.list_uploads(&target),
            Operation::DeleteObjects => self.delete_objects(&target, caller, body).await,
            Operation::PutObject => self.put_object(&target, &parts.headers, body).await,
            Operation::GetObject | Operation::HeadObject => self.get_object(&target, parts, caller).await,
            Operation::DeleteObject => self.delete_object(&target),
            Operation::CreateMultipartUpload => self.create_upload(&target, &parts.headers),
            Operation::UploadPart => self.upload_part(&target, &parts.headers, body).await,
            Operation::ListParts => self.list_parts(&target),
            Operation::CompleteMultipartUpload => self.complete_upload(&target, body).await,
            Operation::AbortMultipartUpload => self.abort_upload(&target),
        }
    }
}

impl Service for S3 {
    fn names(&self) -> &'static [&'static str] {
        &["S3"]
    }

    fn takes(&self, parts: &Parts) -> bool {
        let speaks_json = !text(&parts.headers, "x-amz-target").is_empty();
        !speaks_json && (signature::is_for_s3(parts) || self.bucket(&Target::of(parts).bucket).is_ok())
    }

    fn streams(&self) -> bool {
        true
    }

    fn caller<'a>(&self, parts: &'a Parts) -> Cow<'a, str> {
        signature::claimed(parts).into()
    }

    fn operation(&self, parts: &Parts) -> String {
        let operation = Operation::of(parts, &Target::of(parts));
        operation.map_or_else(|_| parts.method.to_string(), |operation| format!("{operation:?}"))
    }

    fn needs(&self, call: &Call) -> Result<Vec<Need>, String> {
        let target = Target::of(&call.parts);
        // What is not served is refused with its own words, after the signature.
        let operation = Operation::of(&call.parts, &target);
        Ok(operation.map_or_else(|_| Vec::new(), |operation| operation.needs(&target)))
    }

    fn answer(&self, call: Call) -> BoxFuture<'_, Result<Answer, ServiceError>> {
        Box::pin(async move {
            let Call {
                parts, caller, stream, ..
            } = call;
            // An error is a reply that a page must be able to read as well.
            let mut response = self.run(&parts, &caller, stream).await.unwrap_or_else(|error| {
                tracing::warn!(operation = %parts.method, code = error.code, "AWS refuses: {}", error.message);
                error::reply(&error)
            });
            if let Ok(bucket) = self.bucket(&Target::of(&parts).bucket)
                && !cors::is_preflight(&parts)
            {
                cors::open(&bucket.cors, &parts, &mut response);
            }
            Ok(Answer {
                response,
                used: Used::Request,
            })
        })
    }

    fn refuse(&self, error: &ServiceError) -> Response {
        error::reply(error)
    }

    fn throttle(&self, _call: &Call, _draw: Draw) -> Response {
        let message = "Please reduce your request rate.";
        self.refuse(&refused(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", message))
    }
}

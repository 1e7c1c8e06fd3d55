//! A large upload as a product does it: a function begins it and signs an address for each part, with the AWS SDK and the
//! rights of its own process; a client that knows nothing of AWS sends the bytes; the function completes it.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Config, Credentials, Region};
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use axum::http::Request;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::Fixture;

const BUCKET: &str = "local-files";
const MIB: usize = 1024 * 1024;

/// The function's part of it.
pub(crate) async fn serve(verb: &str, body: &Value) -> Value {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let secret = std::env::var("AWS_SECRET_ACCESS_KEY").unwrap();
    let s3 = client(&secret);
    match verb {
        "begin" => match s3
            .create_multipart_upload()
            .bucket(BUCKET)
            .key(text("key"))
            .send()
            .await
        {
            Ok(begun) => json!({"upload": begun.upload_id.unwrap()}),
            Err(error) => json!({"code": error.code()}),
        },
        "sign" => {
            let s3 = client(body["secret"].as_str().unwrap_or(&secret));
            let part = s3
                .upload_part()
                .bucket(BUCKET)
                .key(text("key"))
                .upload_id(text("upload"));
            let part = part
                .part_number(number(&body["part"]))
                .content_length(body["bytes"].as_i64().unwrap());
            json!({"url": part.presigned(for_a_while()).await.unwrap().uri()})
        }
        "complete" => {
            let parts = body["parts"].as_array().unwrap().iter().map(|part| {
                let etag = part["etag"].as_str().unwrap();
                CompletedPart::builder()
                    .part_number(number(&part["part"]))
                    .e_tag(etag)
                    .build()
            });
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect()));
            let complete = s3.complete_multipart_upload().bucket(BUCKET).key(text("key"));
            let complete = complete.upload_id(text("upload")).multipart_upload(parts.build());
            match complete.send().await {
                Ok(object) => json!({"etag": object.e_tag.unwrap()}),
                Err(error) => json!({"code": error.code()}),
            }
        }
        _ => {
            let get = s3.get_object().bucket(BUCKET).key(text("key"));
            json!({"url": get.presigned(for_a_while()).await.unwrap().uri()})
        }
    }
}

fn client(secret: &str) -> Client {
    let variable = |name: &str| std::env::var(name).unwrap();
    let config = Config::builder()
        .region(Region::new(variable("AWS_REGION")))
        .endpoint_url(variable("AWS_ENDPOINT_URL_S3"))
        .credentials_provider(Credentials::new(
            variable("AWS_ACCESS_KEY_ID"),
            secret,
            None,
            None,
            "test",
        ))
        .behavior_version_latest();
    Client::from_conf(config.build())
}

fn for_a_while() -> PresigningConfig {
    PresigningConfig::expires_in(Duration::from_mins(15)).unwrap()
}

fn number(value: &Value) -> i32 {
    value.as_i64().unwrap().try_into().unwrap()
}

impl Fixture {
    async fn upload(&self, verb: &str, body: Value) -> Value {
        let request = Request::post(format!("/upload/{verb}")).header("content-type", "application/json");
        let (status, reply) = self.ask(request, &body.to_string()).await;
        assert_eq!(status, 200, "{verb} {body}: {:?}", self.output.lock().unwrap());
        reply
    }

    /// Has an address signed for a part of an upload.
    async fn address(&self, body: Value) -> String {
        self.upload("sign", body).await["url"].as_str().unwrap().to_owned()
    }
}

async fn put(url: &str, bytes: Vec<u8>) -> Response {
    reqwest::Client::new().put(url).body(bytes).send().await.unwrap()
}

async fn check_refused(reply: Response, code: &str) {
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    let text = reply.text().await.unwrap();
    assert!(text.contains(&format!("<Code>{code}</Code>")), "{text}");
}

#[tokio::test]
async fn a_client_uploads_parts_by_addresses_that_a_function_signed() {
    let fixture = Fixture::start().await;
    let begun = fixture.upload("begin", json!({"key": "up/a film.mp4"})).await;
    let upload = begun["upload"].as_str().unwrap();
    let (mut parts, mut sent) = (Vec::new(), Vec::new());
    for (part, length) in [(1_u8, 5 * MIB), (2, 5 * MIB), (3, 17)] {
        let sign = json!({"key": "up/a film.mp4", "upload": upload, "part": part, "bytes": length});
        let bytes = vec![part; length];
        let reply = put(&fixture.address(sign).await, bytes.clone()).await;
        assert_eq!(reply.status(), StatusCode::OK);
        parts.push(json!({"part": part, "etag": reply.headers()["etag"].to_str().unwrap()}));
        sent.extend(bytes);
    }
    let wrong = json!([{"part": 1, "etag": "\"00000000000000000000000000000000\""}]);
    let refused = fixture
        .upload(
            "complete",
            json!({"key": "up/a film.mp4", "upload": upload, "parts": wrong}),
        )
        .await;
    assert_eq!(refused["code"], "InvalidPart");
    let done = fixture
        .upload(
            "complete",
            json!({"key": "up/a film.mp4", "upload": upload, "parts": parts}),
        )
        .await;
    assert!(done["etag"].as_str().unwrap().ends_with("-3\""), "{done}");

    let url = fixture.upload("read", json!({"key": "up/a film.mp4"})).await;
    let read = reqwest::get(url["url"].as_str().unwrap()).await.unwrap();
    assert_eq!(read.headers()["etag"].to_str().unwrap(), done["etag"]);
    assert!(
        read.bytes().await.unwrap() == sent,
        "other bytes came back than were sent"
    );
}

#[tokio::test]
async fn an_upload_with_the_wrong_key_is_refused() {
    let fixture = Fixture::start().await;
    let begun = fixture.upload("begin", json!({"key": "up/a"})).await;
    let upload = begun["upload"].as_str().unwrap();
    let sign = |key: &str, secret: &str| json!({"key": key, "upload": upload, "part": 1, "bytes": 5, "secret": secret});
    // Signed with a secret that is not the function's.
    let forged = fixture.address(sign("up/a", "guessed")).await;
    check_refused(put(&forged, b"hello".to_vec()).await, "SignatureDoesNotMatch").await;
    // Signed for one object, used for another.
    let url = fixture.address(sign("up/a", stack::aws::SECRET)).await;
    check_refused(
        put(&url.replace("/up/a", "/up/b"), b"hello".to_vec()).await,
        "SignatureDoesNotMatch",
    )
    .await;
    // Signed by who may not, for an object of others.
    let others = fixture.address(sign("down/a", stack::aws::SECRET)).await;
    check_refused(put(&others, b"hello".to_vec()).await, "AccessDenied").await;
    assert_eq!(
        fixture.upload("begin", json!({"key": "down/a"})).await["code"],
        "AccessDenied"
    );
    // Signed for so many bytes.
    check_refused(put(&url, b"hello, and more".to_vec()).await, "SignatureDoesNotMatch").await;
    assert_eq!(put(&url, b"hello".to_vec()).await.status(), StatusCode::OK);
}

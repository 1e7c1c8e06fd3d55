//! S3 as a browser and an ordinary HTTP client see it: requests signed by AWS's own signer, bytes sent by another.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Response, StatusCode};
use stack::aws::{Aws, Storage};
use stack::clock::Clock;

use crate::fixture::template;

const MIB: usize = 1024 * 1024;
const BUCKET: &str = "local-files";

struct S3 {
    aws: Aws,
    clock: Clock,
    http: reqwest::Client,
}

/// Who signs, when, and for how long.
#[derive(Clone)]
struct Signer {
    access_key: &'static str,
    secret: &'static str,
    time: SystemTime,
    expires: Duration,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            access_key: "tests",
            secret: "local",
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(stack::clock::real_ms().try_into().unwrap()),
            expires: Duration::from_mins(15),
        }
    }
}

impl Signer {
    /// Signs a request; yields its address and its headers.
    fn sign(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> (String, Vec<(String, String)>) {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        if body.is_some() {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        } else {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(self.expires);
        }
        let identity = Credentials::new(self.access_key, self.secret, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(self.time)
            .settings(settings);
        let params = params.build().unwrap().into();
        let content = body.map_or(SignableBody::UnsignedPayload, SignableBody::Bytes);
        let signable = SignableRequest::new(method, url, headers.iter().copied(), content).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = axum::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        (request.uri().to_string(), headers.collect())
    }
}

impl S3 {
    async fn start() -> Self {
        Self::start_in(&Storage::Memory, Clock::system()).await
    }

    async fn start_in(storage: &Storage, clock: Clock) -> Self {
        let aws = Aws::start(&template(Path::new("/nowhere")), [].into(), storage, &clock)
            .await
            .unwrap();
        let http = reqwest::Client::new();
        Self { aws, clock, http }
    }

    fn url(&self, key_and_query: &str) -> String {
        format!("{}/{BUCKET}/{key_and_query}", self.aws.endpoint())
    }

    /// Calls with a signature in the headers, as an SDK does.
    async fn call(&self, method: Method, key_and_query: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.call_as(&Signer::default(), method, key_and_query, headers, body)
            .await
    }

    async fn call_as(
        &self,
        signer: &Signer,
        method: Method,
        key_and_query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let (url, headers) = signer.sign(method.as_str(), &self.url(key_and_query), headers, Some(body));
        let mut request = self.http.request(method, url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(body.to_vec()).send().await.unwrap()
    }

    /// Signs an address for others.
    fn presigned(&self, signer: &Signer, method: &str, key_and_query: &str, headers: &[(&str, &str)]) -> String {
        signer.sign(method, &self.url(key_and_query), headers, None).0
    }

    async fn put(&self, url: &str, body: Vec<u8>) -> Response {
        self.http.put(url).body(body).send().await.unwrap()
    }

    async fn begin(&self, key: &str, headers: &[(&str, &str)]) -> String {
        let reply = self.call(Method::POST, &format!("{key}?uploads"), headers, b"").await;
        assert_eq!(reply.status(), StatusCode::OK);
        between(&reply.text().await.unwrap(), "UploadId").to_owned()
    }

    /// Uploads a part by an address for exactly so many bytes; yields its `ETag`.
    async fn part(&self, key: &str, upload: &str, number: u32, bytes: Vec<u8>) -> String {
        let length = bytes.len().to_string();
        let query = format!("{key}?partNumber={number}&uploadId={upload}");
        let url = self.presigned(&Signer::default(), "PUT", &query, &[("content-length", &length)]);
        let reply = self.put(&url, bytes).await;
        assert_eq!(reply.status(), StatusCode::OK);
        reply.headers()["etag"].to_str().unwrap().to_owned()
    }

    async fn complete(&self, key: &str, upload: &str, parts: &[(u32, &str)]) -> Response {
        let part =
            |(number, etag): &(u32, &str)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        let parts: String = parts.iter().map(part).collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        self.call(Method::POST, &format!("{key}?uploadId={upload}"), &[], body.as_bytes())
            .await
    }

    async fn get(&self, key: &str) -> Response {
        self.call(Method::GET, key, &[], b"").await
    }
}

fn between<'a>(text: &'a str, tag: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("<{tag}>"))
        .unwrap_or_else(|| panic!("no {tag} in {text}"));
    rest.split_once("</").unwrap().0
}

#[track_caller]
fn check_refused((found, text): (StatusCode, String), status: u16, code: &str) {
    let text = text.as_str();
    assert_eq!((found.as_u16(), between(text, "Code")), (status, code), "{text}");
}

async fn told(reply: Response) -> (StatusCode, String) {
    (reply.status(), reply.text().await.unwrap())
}

#[tokio::test]
async fn an_upload_by_addresses_that_were_signed_for_its_parts() {
    let s3 = S3::start().await;
    let key = "up/a%20film%2B1.mp4";
    let upload = s3
        .begin(key, &[("content-type", "video/mp4"), ("x-amz-meta-owner", "ada")])
        .await;
    // Numbers may have gaps, and parts may come in any order and again.
    let last = s3.part(key, &upload, 7, b"the end".to_vec()).await;
    s3.part(key, &upload, 2, vec![0; 5 * MIB]).await;
    let first = s3.part(key, &upload, 2, vec![1; 5 * MIB]).await;
    let list = s3.get(&format!("{key}?uploadId={upload}")).await.text().await.unwrap();
    assert!(
        list.contains("<PartNumber>7</PartNumber>") && list.contains(&first.replace('"', "&quot;")),
        "{list}"
    );
    let done = s3.complete(key, &upload, &[(2, &first), (7, &last)]).await;
    assert_eq!(done.status(), StatusCode::OK);
    let etag = between(&done.text().await.unwrap(), "ETag").replace("&quot;", "\"");
    assert!(etag.ends_with("-2\""), "{etag}");

    let reply = s3.get(key).await;
    let headers = reply.headers().clone();
    assert_eq!(
        (
            headers["content-type"].to_str().unwrap(),
            headers["x-amz-meta-owner"].to_str().unwrap()
        ),
        ("video/mp4", "ada")
    );
    assert_eq!(headers["etag"].to_str().unwrap(), etag);
    let bytes = reply.bytes().await.unwrap();
    assert_eq!((bytes.len(), &bytes[5 * MIB..]), (5 * MIB + 7, b"the end".as_slice()));
    let range = s3.call(Method::GET, key, &[("range", "bytes=-3")], b"").await;
    assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range.text().await.unwrap(), "end");
    // The upload is over.
    check_refused(
        told(s3.complete(key, &upload, &[(2, &first)]).await).await,
        404,
        "NoSuchUpload",
    );
    check_refused(
        told(s3.get(&format!("{key}?uploadId={upload}")).await).await,
        404,
        "NoSuchUpload",
    );
}

#[tokio::test]
async fn an_address_is_good_for_what_was_signed_and_no_more() {
    let s3 = S3::start().await;
    let signer = Signer::default();
    let length = [("content-length", "5")];
    let url = s3.presigned(&signer, "PUT", "up/a", &length);
    check_refused(
        told(s3.put(&url, b"too long".to_vec()).await).await,
        403,
        "SignatureDoesNotMatch",
    );
    check_refused(
        told(s3.http.get(&url).send().await.unwrap()).await,
        403,
        "SignatureDoesNotMatch",
    );
    let other = url.replace("/up/a", "/up/b");
    check_refused(
        told(s3.put(&other, b"hello".to_vec()).await).await,
        403,
        "SignatureDoesNotMatch",
    );
    let more = s3
        .http
        .put(&url)
        .header("x-amz-meta-owner", "eve")
        .body("hello")
        .send()
        .await
        .unwrap();
    check_refused(told(more).await, 403, "AccessDenied");
    let wrong_key = Signer {
        secret: "guessed",
        ..signer.clone()
    };
    let forged = s3.presigned(&wrong_key, "PUT", "up/a", &length);
    check_refused(
        told(s3.put(&forged, b"hello".to_vec()).await).await,
        403,
        "SignatureDoesNotMatch",
    );
    check_refused(
        told(s3.put(&s3.url("up/a"), b"hello".to_vec()).await).await,
        403,
        "AccessDenied",
    );
    check_refused(told(s3.get("up/a").await).await, 404, "NoSuchKey");
    assert_eq!(s3.put(&url, b"hello".to_vec()).await.status(), StatusCode::OK);
    assert_eq!(s3.get("up/a").await.text().await.unwrap(), "hello");
    // A client that sends nothing gives no length.
    let url = s3.presigned(&signer, "PUT", "up/a", &[]);
    check_refused(told(s3.put(&url, Vec::new()).await).await, 411, "MissingContentLength");
}

#[tokio::test]
async fn an_address_expires_by_the_test_clock() {
    let s3 = S3::start().await;
    let signer = Signer::default();
    let past = Signer {
        time: signer.time - Duration::from_hours(1),
        ..signer.clone()
    };
    let late = s3.presigned(&past, "PUT", "up/a", &[]);
    check_refused(told(s3.put(&late, b"x".to_vec()).await).await, 403, "AccessDenied");
    let url = s3.presigned(&signer, "PUT", "up/a", &[]);
    assert_eq!(s3.put(&url, b"x".to_vec()).await.status(), StatusCode::OK);
    s3.clock.advance(3600).unwrap();
    let (status, text) = told(s3.put(&url, b"x".to_vec()).await).await;
    assert!(status == StatusCode::FORBIDDEN && text.contains("expired"), "{text}");
    // By the machine's time this one is signed after the move.
    let fresh = Signer {
        time: signer.time + Duration::from_secs(2),
        ..signer
    };
    let url = s3.presigned(&fresh, "PUT", "up/a", &[]);
    assert_eq!(s3.put(&url, b"x".to_vec()).await.status(), StatusCode::OK);
    let for_ever = Signer {
        expires: Duration::from_secs(604_801),
        ..Signer::default()
    };
    let url = s3.presigned(&for_ever, "PUT", "up/a", &[]);
    check_refused(
        told(s3.put(&url, b"x".to_vec()).await).await,
        400,
        "AuthorizationQueryParametersError",
    );
}

#[tokio::test]
async fn a_sum_that_is_wrong_is_refused_of_objects_and_of_parts() {
    let s3 = S3::start().await;
    let upload = s3.begin("up/a", &[]).await;
    let part = format!("up/a?partNumber=1&uploadId={upload}");
    let md5 = |text: &str| STANDARD.encode(md5::compute(text).0);
    for target in ["up/a", part.as_str()] {
        for (name, good, bad) in [
            ("content-md5", md5("hello"), md5("other")),
            ("x-amz-checksum-crc32", "NhCmhg==".to_owned(), "NhCmhh==".to_owned()),
            (
                "x-amz-checksum-sha256",
                "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=".to_owned(),
                "LPJNul".to_owned(),
            ),
        ] {
            let reply = s3.call(Method::PUT, target, &[(name, &bad)], b"hello").await;
            check_refused(told(reply).await, 400, "BadDigest");
            let reply = s3.call(Method::PUT, target, &[(name, &good)], b"hello").await;
            assert_eq!(reply.status(), StatusCode::OK, "{target} {name}");
        }
    }
    let reply = s3.call(Method::PUT, "up/a", &[("content-md5", "none")], b"hello").await;
    check_refused(told(reply).await, 400, "InvalidDigest");
    let asked = s3
        .call(Method::HEAD, "up/a", &[("x-amz-checksum-mode", "ENABLED")], b"")
        .await;
    assert_eq!(
        asked.headers()["x-amz-checksum-sha256"],
        "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
    );
}

#[tokio::test]
async fn a_body_may_come_in_chunks_with_its_sum_at_the_end() {
    let s3 = S3::start().await;
    let put = async |sum: &str| {
        let body = format!("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{sum}\r\n\r\n");
        let headers = [
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("content-encoding", "aws-chunked"),
        ];
        let signer = Signer::default();
        let url = s3.url("up/a");
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        let identity = Credentials::new(signer.access_key, signer.secret, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("s3")
            .time(signer.time);
        let params = params.settings(settings).build().unwrap().into();
        let content = SignableBody::Precomputed("STREAMING-UNSIGNED-PAYLOAD-TRAILER".into());
        let signable = SignableRequest::new("PUT", url.as_str(), headers.into_iter(), content).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = axum::http::Request::builder().method("PUT").uri(&url).body(()).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        let request = s3.http.put(&url).headers(request.headers().clone());
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(body).send().await.unwrap()
    };
    check_refused(told(put("NhCmhh==").await).await, 400, "BadDigest");
    assert_eq!(put("NhCmhg==").await.status(), StatusCode::OK);
    let reply = s3.get("up/a").await;
    assert!(!reply.headers().contains_key("content-encoding"));
    assert_eq!(reply.text().await.unwrap(), "hello");
}

#[tokio::test]
async fn what_is_wrong_with_parts_leaves_the_upload_as_it_is() {
    let s3 = S3::start().await;
    let upload = s3.begin("up/a", &[]).await;
    let small = s3.part("up/a", &upload, 1, b"small".to_vec()).await;
    let last = s3.part("up/a", &upload, 2, b"last".to_vec()).await;
    let complete = async |parts: &[(u32, &str)]| told(s3.complete("up/a", &upload, parts).await).await;
    check_refused(complete(&[(1, &small), (2, &last)]).await, 400, "EntityTooSmall");
    check_refused(complete(&[(1, &last)]).await, 400, "InvalidPart");
    check_refused(complete(&[(3, &last)]).await, 400, "InvalidPart");
    check_refused(complete(&[(2, &last), (1, &small)]).await, 400, "InvalidPartOrder");
    check_refused(complete(&[]).await, 400, "MalformedXML");
    let junk = s3
        .call(Method::POST, &format!("up/a?uploadId={upload}"), &[], b"<")
        .await;
    check_refused(told(junk).await, 400, "MalformedXML");
    check_refused(
        told(s3.complete("up/b", &upload, &[(1, &small)]).await).await,
        404,
        "NoSuchUpload",
    );
    let zeroth = s3
        .call(Method::PUT, &format!("up/a?partNumber=0&uploadId={upload}"), &[], b"x")
        .await;
    check_refused(told(zeroth).await, 400, "InvalidArgument");
    let nowhere = s3.call(Method::PUT, "up/a?partNumber=1&uploadId=none", &[], b"x").await;
    check_refused(told(nowhere).await, 404, "NoSuchUpload");
    assert_eq!(complete(&[(1, &small)]).await.0, StatusCode::OK);

    let other = s3.begin("up/c", &[]).await;
    let listed = s3.get("?uploads").await.text().await.unwrap();
    assert_eq!(
        (between(&listed, "UploadId"), between(&listed, "Key")),
        (other.as_str(), "up/c")
    );
    let abort = format!("up/c?uploadId={other}");
    assert_eq!(
        s3.call(Method::DELETE, &abort, &[], b"").await.status(),
        StatusCode::NO_CONTENT
    );
    check_refused(
        told(s3.call(Method::DELETE, &abort, &[], b"").await).await,
        404,
        "NoSuchUpload",
    );
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_upload_and_read_the_etag() {
    let s3 = S3::start().await;
    let url = s3.presigned(&Signer::default(), "PUT", "up/a", &[]);
    let preflight = async |origin: &str, method: &str, headers: &str| {
        let request = s3.http.request(Method::OPTIONS, &url).header("origin", origin);
        let request = request.header("access-control-request-method", method);
        request
            .header("access-control-request-headers", headers)
            .send()
            .await
            .unwrap()
    };
    let allowed = preflight("http://page", "PUT", "Content-Type").await;
    assert_eq!(allowed.status(), StatusCode::OK);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "http://page");
    assert_eq!(allowed.headers()["access-control-allow-headers"], "content-type");
    assert_eq!(allowed.headers()["access-control-max-age"], "60");
    for (origin, method, headers) in [
        ("http://other", "PUT", ""),
        ("http://page", "DELETE", ""),
        ("http://page", "PUT", "x-own"),
    ] {
        check_refused(
            told(preflight(origin, method, headers).await).await,
            403,
            "AccessForbidden",
        );
    }
    let put = async |origin: &str, url: &str| {
        s3.http
            .put(url)
            .header("origin", origin)
            .body("x")
            .send()
            .await
            .unwrap()
    };
    let reply = put("http://page", &url).await;
    assert_eq!(reply.headers()["access-control-expose-headers"], "ETag");
    assert!(
        !put("http://other", &url)
            .await
            .headers()
            .contains_key("access-control-allow-origin")
    );
    // A page must be able to read why it was refused.
    let refused = put("http://page", &format!("{url}0")).await;
    assert_eq!(refused.headers()["access-control-allow-origin"], "http://page");
    check_refused(told(refused).await, 403, "SignatureDoesNotMatch");
}

#[tokio::test]
async fn a_function_may_do_what_its_policy_grants_also_by_an_address() {
    let s3 = S3::start().await;
    let web = Signer {
        access_key: "Web",
        ..Signer::default()
    };
    let call = async |method: Method, key: &str| told(s3.call_as(&web, method, key, &[], b"x").await).await;
    assert_eq!(call(Method::PUT, "up/a").await.0, StatusCode::OK);
    assert_eq!(call(Method::GET, "up/a").await.0, StatusCode::OK);
    check_refused(call(Method::PUT, "down/a").await, 403, "AccessDenied");
    check_refused(call(Method::DELETE, "up/a").await, 403, "AccessDenied");
    check_refused(call(Method::GET, "?list-type=2").await, 403, "AccessDenied");
    // Without the right to list, absence is no knowledge of its.
    check_refused(call(Method::GET, "up/none").await, 403, "AccessDenied");
    let url = s3.presigned(&web, "PUT", "down/a", &[]);
    check_refused(told(s3.put(&url, b"x".to_vec()).await).await, 403, "AccessDenied");
    let many = "<Delete><Object><Key>up/a</Key></Object></Delete>";
    let reply = s3.call_as(&web, Method::POST, "?delete", &[], many.as_bytes()).await;
    assert_eq!(between(&reply.text().await.unwrap(), "Code"), "AccessDenied");
}

#[tokio::test]
async fn objects_are_listed_by_folder_and_by_page() {
    let s3 = S3::start().await;
    for key in ["a/1", "a/2", "b", "c/1", "d%26e"] {
        assert_eq!(s3.call(Method::PUT, key, &[], b"x").await.status(), StatusCode::OK);
    }
    let list = async |query: &str| s3.get(&format!("?list-type=2{query}")).await.text().await.unwrap();
    let keys = |text: &str, tag: &str| -> Vec<String> {
        let start = format!("<{tag}>");
        let parts = text.split(&start).skip(1);
        parts.map(|part| part.split("</").next().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!(keys(&all, "Key"), ["a/1", "a/2", "b", "c/1", "d&amp;e"]);
    let encoded = list("&encoding-type=url").await;
    assert_eq!(keys(&encoded, "Key")[4], "d%26e");
    assert_eq!(between(&encoded, "EncodingType"), "url");
    let folders = list("&delimiter=%2F").await;
    assert_eq!(keys(&folders, "Key"), ["b", "d&amp;e"]);
    assert_eq!(
        keys(&folders[folders.find("<CommonPrefixes>").unwrap()..], "Prefix"),
        ["a/", "c/"]
    );
    assert_eq!(keys(&list("&prefix=a%2F").await, "Key"), ["a/1", "a/2"]);
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = list(&format!("&delimiter=%2F&max-keys=1{token}")).await;
        found.extend(keys(&page, "Key"));
        found.extend(keys(
            page.find("<CommonPrefixes>").map_or("", |at| &page[at..]),
            "Prefix",
        ));
        if between(&page, "IsTruncated") == "false" {
            break;
        }
        token = format!(
            "&continuation-token={}",
            between(&page, "NextContinuationToken")
                .replace('=', "%3D")
                .replace('+', "%2B")
        );
    }
    assert_eq!(found, ["a/", "b", "c/", "d&amp;e"]);
    let many = "<Delete><Object><Key>a/1</Key></Object><Object><Key>none</Key></Object></Delete>";
    let reply = s3
        .call(Method::POST, "?delete", &[], many.as_bytes())
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(keys(&reply, "Key"), ["a/1", "none"]);
    assert_eq!(keys(&list("&prefix=a%2F").await, "Key"), ["a/2"]);
}

#[tokio::test]
async fn what_is_not_served_is_named() {
    let s3 = S3::start().await;
    for (method, target, headers, named) in [
        (Method::GET, "?acl", [].as_slice(), "acl"),
        (Method::GET, "a?versionId=1", &[], "versionId"),
        (Method::PUT, "a", &[("x-amz-tagging", "a=b")], "x-amz-tagging"),
        (Method::PUT, "a", &[("x-amz-copy-source", "/b/c")], "x-amz-copy-source"),
        (Method::PUT, "a", &[("x-amz-acl", "public-read")], "public-read"),
        (Method::PUT, "a", &[("if-match", "x")], "if-match"),
        (Method::POST, "a?uploads", &[("if-none-match", "*")], "if-none-match"),
    ] {
        let (status, text) = told(s3.call(method, target, headers, b"").await).await;
        assert!(text.contains(named), "{text}");
        check_refused((status, text), 501, "NotImplemented");
    }
    let url = s3.url("a").replace(BUCKET, "another");
    let (url, headers) = Signer::default().sign("GET", &url, &[], Some(b""));
    let request = headers
        .iter()
        .fold(s3.http.get(url), |request, (name, value)| request.header(name, value));
    check_refused(told(request.send().await.unwrap()).await, 404, "NoSuchBucket");
}

#[tokio::test]
async fn conditions_and_names_of_downloads_are_honoured() {
    let s3 = S3::start().await;
    let once = [("if-none-match", "*")];
    let first = s3.call(Method::PUT, "a", &once, b"x").await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    check_refused(
        told(s3.call(Method::PUT, "a", &once, b"y").await).await,
        412,
        "PreconditionFailed",
    );
    let unchanged = s3.call(Method::GET, "a", &[("if-none-match", &etag)], b"").await;
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    check_refused(
        told(s3.call(Method::GET, "a", &[("if-match", "\"b\"")], b"").await).await,
        412,
        "PreconditionFailed",
    );
    let named = "a?response-content-disposition=attachment%3B%20filename%3D%22a.txt%22";
    let reply = s3
        .http
        .get(s3.presigned(&Signer::default(), "GET", named, &[]))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.headers()["content-disposition"], "attachment; filename=\"a.txt\"");
    assert_eq!(reply.text().await.unwrap(), "x");
}

#[tokio::test]
async fn objects_in_a_folder_stay_and_what_is_over_goes() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::Folder(folder.path().to_owned());
    let clock = Clock::system();
    let s3 = S3::start_in(&storage, clock.clone()).await;
    for key in ["kept", "tmp/gone"] {
        s3.call(Method::PUT, key, &[], b"x").await;
    }
    let upload = s3.begin("up/a", &[]).await;
    s3.part("up/a", &upload, 1, b"part".to_vec()).await;
    drop(s3);
    std::fs::write(folder.path().join("objects/leftover"), "of a crash").unwrap();
    let s3 = S3::start_in(&storage, clock.clone()).await;
    let files = || folder.path().join("objects").read_dir().unwrap().count();
    assert_eq!(files(), 3);
    clock.advance(86_401).unwrap();
    s3.aws.sweeper().sweep().unwrap();
    assert_eq!(files(), 2);
    clock.advance(86_401).unwrap();
    s3.aws.sweeper().sweep().unwrap();
    assert_eq!(files(), 1);
    assert_eq!(s3.get("kept").await.text().await.unwrap(), "x");
}

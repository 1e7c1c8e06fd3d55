//! Requests through the gateway to a real process and back.

use axum::http::Request;

use crate::fixture::Fixture;

#[tokio::test]
async fn a_request_reaches_its_function_and_comes_back() {
    let fixture = Fixture::start().await;
    let request = Request::post("/a/b?x=1")
        .header("content-type", "application/json")
        .header("cookie", "c=1");
    let (status, event) = fixture.ask(request, r#"{"hello":"there"}"#).await;
    assert_eq!(status, 200);
    assert_eq!(event["routeKey"], "ANY /{proxy+}");
    assert_eq!(event["pathParameters"]["proxy"], "a/b");
    assert_eq!(event["body"], r#"{"hello":"there"}"#);
    assert_eq!(event["cookies"][0], "c=1");
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
}

#[tokio::test]
async fn what_has_no_route_is_not_found() {
    let fixture = Fixture::start().await;
    let (status, body) = fixture.get("/").await;
    assert_eq!((status, body["message"].as_str()), (404, Some("Not Found")));
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_the_reply() {
    let fixture = Fixture::start().await;
    let preflight = Request::options("/a")
        .header("origin", "http://page")
        .header("access-control-request-method", "GET");
    let response = fixture.answer(preflight, "").await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-max-age"], "60");
    let response = fixture
        .answer(Request::get("/a").header("origin", "http://page"), "")
        .await;
    assert_eq!(response.headers()["access-control-allow-origin"], "http://page");
    let response = fixture
        .answer(Request::get("/a").header("origin", "http://other"), "")
        .await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn too_large_a_body_is_refused() {
    let fixture = Fixture::start().await;
    let (status, _) = fixture.ask(Request::post("/a"), &"x".repeat(11 * 1024 * 1024)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_function_that_dies_fails_one_request_only() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.get("/crash").await.0, 502);
    assert_eq!(fixture.get("/fine").await.0, 200);
}

#[tokio::test]
async fn a_function_that_reports_an_error_lives_on() {
    let fixture = Fixture::start().await;
    let pid = fixture.get("/pause").await.1["pid"].clone();
    assert_eq!(fixture.get("/error").await.0, 502);
    assert_eq!(fixture.get("/pause").await.1["pid"], pid);
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed() {
    let fixture = Fixture::start().await;
    assert_eq!(fixture.get("/wait").await.0, 504);
    assert_eq!(fixture.get("/fine").await.0, 200);
}

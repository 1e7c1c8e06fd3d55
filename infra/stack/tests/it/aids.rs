//! What a stack tells developers at `/_local/…`, over its port.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use jiff::Timestamp;
use serde_json::Value;
use stack::front::Front;

use crate::fixture::Fixture;

/// Asks as the port does once the stack is up.
async fn ask(fixture: &Fixture, request: Request<Body>) -> (u16, Value) {
    let response = stack::aids::answer(&fixture.stack, request).await;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn other_clients_are_told_where_aws_is() {
    let fixture = Fixture::start().await;
    let (status, aws) = ask(&fixture, get("/_local/aws")).await;
    assert_eq!((status, &aws["buckets"][0]), (200, &"local-files".into()));
    assert_eq!(aws["endpoint"], fixture.stack.aws.endpoint());
}

#[tokio::test]
async fn pages_of_others_are_told_nothing() {
    let fixture = Fixture::start().await;
    let ask_with = async |name: &str, value: &str| {
        let request = Request::get("/_local/emails").header(name, value);
        ask(&fixture, request.body(Body::empty()).unwrap()).await
    };
    for host in ["localhost", "LocalHost:3000", "127.0.0.1:3000", "[::1]:3000", "[::1]"] {
        assert_eq!(ask_with("host", host).await.0, 200, "{host}");
    }
    for (name, value) in [
        ("host", "evil.example"),
        ("host", "evil.example:3000"),
        ("host", "127.0.0.1.evil.example"),
        ("host", "localhost@evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let (status, body) = ask_with(name, value).await;
        assert_eq!((status, &body["code"]), (403, &"not_local".into()), "{name}: {value}");
    }
}

#[tokio::test]
async fn the_clock_tells_the_time_and_moves() {
    let fixture = Fixture::start().await;
    let now = async || {
        let (status, body) = ask(&fixture, get("/_local/clock")).await;
        assert_eq!((status, body.as_object().unwrap().len()), (200, 1));
        body["now"].as_str().unwrap().parse::<Timestamp>().unwrap()
    };
    let before = now().await;
    let real = Timestamp::from_millisecond(stack::clock::real_ms()).unwrap();
    assert!(before.duration_until(real).as_secs() < 60);
    let body = Body::from(r#"{"advanceSeconds":3600}"#);
    let (status, moved) = ask(&fixture, Request::post("/_local/clock").body(body).unwrap()).await;
    assert_eq!((status, &moved["offsetSeconds"]), (200, &3600.into()));
    let gone = before.duration_until(now().await).as_secs();
    assert!((3600..3660).contains(&gone), "{gone}");
    let (status, _) = ask(&fixture, Request::delete("/_local/clock").body(Body::empty()).unwrap()).await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn what_the_product_tells_stands_beside() {
    let mut fixture = Fixture::start().await;
    fixture.stack.told = [("manager".to_owned(), serde_json::json!({"email": "a@example.com"}))].into();
    let (status, told) = ask(&fixture, get("/_local/manager")).await;
    assert_eq!((status, told["email"].as_str()), (200, Some("a@example.com")));
    let (status, missing) = ask(&fixture, get("/_local/nothing")).await;
    assert_eq!(status, 404);
    assert!(
        missing["detail"].as_str().unwrap().contains("/_local/manager"),
        "{missing}"
    );
}

#[tokio::test]
async fn the_port_says_what_is_missing_until_the_stack_is_up() {
    let front = Front::open(0, "a build").await.unwrap();
    let address = front.url().strip_prefix("http://").unwrap().to_owned();
    let ask = async |path: &str| {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    };
    let reply = ask("/ready").await;
    assert!(
        reply.starts_with("HTTP/1.1 503") && reply.contains(r#""missing":["a build"]"#),
        "{reply}"
    );
    front.hand_to(Arc::new(Fixture::start().await.stack));
    assert!(ask("/ready").await.starts_with("HTTP/1.1 200"));
    front.stop().await;
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}

//! Replays against an API that misbehaves.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use local::replay::{Options, Summary, run};
use serde_json::{Value, json};

/// What the API has seen: the ids of each request, in order.
type Seen = Arc<Mutex<Vec<Vec<String>>>>;

type Misbehaviour = fn(usize, usize) -> Option<Response>;

/// Serves an API that answers its n-th request, with so many events, as `misbehave` says, or else well.
async fn api(misbehave: Misbehaviour) -> (String, Seen) {
    let seen = Seen::default();
    let router = Router::new()
        .route("/v1/ingest/events", post(take))
        .with_state((Arc::clone(&seen), misbehave));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

async fn take(State((seen, misbehave)): State<(Seen, Misbehaviour)>, body: Bytes) -> Response {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut text)
        .unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    let ids: Vec<String> = body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect();
    let many = ids.len();
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(ids);
        seen.len()
    };
    misbehave(number, many).unwrap_or_else(|| (StatusCode::ACCEPTED, reply(many, &json!([]))).into_response())
}

fn reply(accepted: usize, rejected: &Value) -> String {
    json!({"status": "queued", "accepted": accepted, "rejected": rejected}).to_string()
}

async fn replay(url: &str, log: &str, batch: usize) -> anyhow::Result<Summary> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(log.as_bytes())?;
    let (url, api_key) = (url.to_owned(), "ch_test_x".to_owned());
    run(&Options {
        file: file.path().to_owned(),
        url,
        api_key,
        batch,
        progress: false,
    })
    .await
}

fn log(lines: usize) -> String {
    let line = |second: usize| {
        format!(
            "192.0.2.1 - - [10/Oct/2000:13:55:{:02} +0000] \"GET /{second} HTTP/1.0\" 200 5 \"-\" \"x\"\n",
            second % 60
        )
    };
    (0..lines).map(line).collect()
}

#[tokio::test]
async fn every_line_is_sent_once() {
    let (url, seen) = api(|_, _| None).await;
    let summary = replay(&url, &log(250), 100).await.unwrap();
    assert_eq!(
        summary,
        Summary {
            sent: 250,
            accepted: 250,
            rejected: 0
        }
    );
    assert!(summary.is_complete());
    let seen = seen.lock().unwrap();
    let ids: HashSet<&String> = seen.iter().flatten().collect();
    assert_eq!((seen.len(), ids.len()), (3, 250));
}

#[tokio::test]
async fn what_was_not_answered_is_sent_again_with_the_same_ids() {
    let (url, seen) = api(|number, _| match number {
        1 => Some(StatusCode::BAD_GATEWAY.into_response()),
        2 => Some((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()),
        _ => None,
    })
    .await;
    let summary = replay(&url, &log(10), 10).await.unwrap();
    assert_eq!(
        summary,
        Summary {
            sent: 10,
            accepted: 10,
            rejected: 0
        }
    );
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|ids| *ids == seen[0]));
}

#[tokio::test]
async fn events_that_the_queue_could_not_take_are_sent_again_alone() {
    let (url, seen) = api(|number, many| {
        let rejected = json!([{"index": 1, "code": "unavailable", "detail": "again"}]);
        (number == 1).then(|| (StatusCode::ACCEPTED, reply(many - 1, &rejected)).into_response())
    })
    .await;
    let summary = replay(&url, &log(3), 10).await.unwrap();
    assert_eq!(
        summary,
        Summary {
            sent: 3,
            accepted: 3,
            rejected: 0
        }
    );
    let seen = seen.lock().unwrap();
    assert_eq!(seen[1], [seen[0][1].clone()]);
}

#[tokio::test]
async fn refused_events_and_malformed_lines_are_counted() {
    let (url, _) = api(|_, many| {
        let rejected = json!([{"index": 0, "code": "validation_failed", "detail": "no"}]);
        Some((StatusCode::ACCEPTED, reply(many - 1, &rejected)).into_response())
    })
    .await;
    let summary = replay(&url, &format!("nonsense\n{}", log(3)), 10).await.unwrap();
    assert_eq!(
        summary,
        Summary {
            sent: 3,
            accepted: 2,
            rejected: 2
        }
    );
    assert!(!summary.is_complete());
}

#[tokio::test]
async fn a_key_that_is_refused_ends_it() {
    let (url, seen) = api(|_, _| Some((StatusCode::UNAUTHORIZED, "no such key").into_response())).await;
    let summary = replay(&url, &log(5000), 1).await.unwrap();
    assert!(!summary.is_complete() && summary.accepted == 0);
    assert!(seen.lock().unwrap().len() <= 8);
}

#[tokio::test]
async fn a_server_that_comes_late_gets_everything() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (text, url) = (log(5), format!("http://{address}"));
    let replaying = replay(&url, &text, 10);
    let serving = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let ignore: Misbehaviour = |_, _| None;
        let router = Router::new()
            .route("/v1/ingest/events", post(take))
            .with_state((Seen::default(), ignore));
        tokio::spawn(async move { axum::serve(listener, router).await });
    };
    let (summary, ()) = tokio::join!(replaying, serving);
    assert_eq!(
        summary.unwrap(),
        Summary {
            sent: 5,
            accepted: 5,
            rejected: 0
        }
    );
}

//! The client against servers on this machine.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// Answers every connection on a port of 127.0.0.1 with the same bytes. Yields the port, and how many came.
async fn server(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
                if answer.is_empty() {
                    // Says nothing, for as long as the caller stays.
                    let _ = stream.read(&mut request).await;
                }
            });
        }
    });
    (port, seen)
}

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-from: server\r\n\r\nok";

/// Says that every name is 127.0.0.1.
struct Rebound;

impl Resolve for Rebound {
    fn resolve(&self, _: Name) -> Resolving {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

fn local() -> Client {
    Client::new(AllowList::parse("127.0.0.1"))
}

#[tokio::test]
async fn a_reply_comes_back_whole() {
    let (port, _) = server(FINE).await;
    let reply = local()
        .send(Request::get(format!("http://127.0.0.1:{port}/")))
        .await
        .unwrap();
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, &b"ok"[..]));
    assert_eq!(reply.headers["x-from"], "server");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (inner, seen) = server(FINE).await;
    let answer = format!("HTTP/1.1 307 T\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\n\r\n");
    let (port, _) = server(answer.leak().as_bytes()).await;
    let request = Request::post(format!("http://127.0.0.1:{port}/"), "application/json", "{}");
    assert_eq!(local().head(request).await.unwrap().0, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_not_connected_to() {
    let (port, seen) = server(FINE).await;
    let url = format!("https://rebound.example:{port}/");
    assert!(
        guard::check(&url, &AllowList::default()).is_ok(),
        "the name tells nothing"
    );
    let client = Client::resolving_by(AllowList::default(), Arc::new(Rebound));
    let failure = client.send(Request::get(url)).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Refused(Refused::NotPublic(host)) if host == "rebound.example"),
        "{failure:?}"
    );
    assert_eq!(
        failure.to_string(),
        "the target is not on the public internet: rebound.example"
    );
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_on_the_list_may_be_any_address() {
    let (port, _) = server(FINE).await;
    let client = Client::resolving_by(AllowList::parse("hooks.test"), Arc::new(Rebound));
    let status = client.head(Request::get(format!("http://hooks.test:{port}/"))).await;
    assert_eq!(status.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn an_address_that_is_not_on_the_list_is_not_connected_to() {
    let (port, seen) = server(FINE).await;
    let client = Client::new(AllowList::default());
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
    ] {
        let failure = client.send(Request::get(url)).await.unwrap_err();
        assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_reply_that_is_too_long_is_not_read_to_its_end() {
    let (port, _) = server(FINE).await;
    let request = Request::get(format!("http://127.0.0.1:{port}/")).longest_reply(1);
    let failure = local().send(request).await.unwrap_err();
    assert_eq!(failure.to_string(), "127.0.0.1 answered more than 1 bytes");
}

#[tokio::test]
async fn a_server_that_says_nothing_does_not_hold_the_caller() {
    let (port, _) = server(b"").await;
    let request = Request::get(format!("http://127.0.0.1:{port}/")).timeout(Duration::from_millis(50));
    let failure = local().send(request).await.unwrap_err();
    assert_eq!(failure.to_string(), "127.0.0.1 did not answer in time");
}

#[tokio::test]
async fn nobody_there_and_nonsense_are_told_apart() {
    let free = TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let failure = local().send(Request::get(format!("http://127.0.0.1:{free}/"))).await;
    assert!(matches!(failure, Err(Failure::Unreachable(_))), "{failure:?}");
    let (port, _) = server(b"220 mail.example.com ESMTP\r\n").await;
    let failure = local().send(Request::get(format!("http://127.0.0.1:{port}/"))).await;
    assert!(matches!(failure, Err(Failure::Broken(_))), "{failure:?}");
}

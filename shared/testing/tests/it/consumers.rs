//! Consumers of queues: what one message does to the code that reads it is no other message's business.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::Error;
use lambda::{App, Consumer, Message, deliver, each};
use testing::TestApp;

/// Takes messages one by one, or all together.
#[derive(Default)]
struct Reader {
    together: bool,
    done: Mutex<Vec<String>>,
    batches: AtomicUsize,
}

impl Reader {
    fn read(&self, message: &Message) -> kernel::Result<()> {
        match message.body.as_str() {
            "panic" => panic!("it is poisoned"),
            "fail" => return Err(Error::Busy),
            text => self.done.lock().unwrap().push(text.to_owned()),
        }
        Ok(())
    }

    fn done(&self) -> Vec<String> {
        let mut done = self.done.lock().unwrap().clone();
        done.sort();
        done
    }
}

impl Consumer for Reader {
    async fn consume(&self, _: &App, messages: Vec<Message>) -> Vec<String> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        if !self.together {
            return each(messages, |message| async move { self.read(&message) }).await;
        }
        let failed = messages.iter().filter(|message| self.read(message).is_err());
        failed.map(|message| message.id.clone()).collect()
    }
}

fn ten(odd: &str) -> Vec<Message> {
    let text = |number: usize| {
        if number == 4 {
            odd.to_owned()
        } else {
            number.to_string()
        }
    };
    (0..10)
        .map(|number| Message::of(number.to_string(), text(number)))
        .collect()
}

const NINE: [&str; 9] = ["0", "1", "2", "3", "5", "6", "7", "8", "9"];

#[tokio::test]
async fn a_panic_on_one_message_of_ten_leaves_the_other_nine_done() {
    let app = TestApp::start().await.app().await;
    for together in [false, true] {
        let reader = Reader {
            together,
            ..Reader::default()
        };
        assert_eq!(deliver(&reader, &app, ten("panic")).await, ["4"]);
        let mut done = reader.done();
        // Those who take a batch together saw the first of it before the panic, and each of it again, alone.
        done.dedup();
        assert_eq!(done, NINE);
        assert_eq!(reader.batches.into_inner(), if together { 11 } else { 1 });
    }
}

#[tokio::test]
async fn a_message_that_fails_comes_again_alone() {
    let app = TestApp::start().await.app().await;
    for together in [false, true] {
        let reader = Reader {
            together,
            ..Reader::default()
        };
        assert_eq!(deliver(&reader, &app, ten("fail")).await, ["4"]);
        assert_eq!(reader.done(), NINE);
        assert_eq!(reader.batches.into_inner(), 1);
    }
}

#[tokio::test]
async fn a_message_that_always_panics_is_asked_once_when_it_comes_alone() {
    let app = TestApp::start().await.app().await;
    let reader = Reader {
        together: true,
        ..Reader::default()
    };
    assert_eq!(deliver(&reader, &app, vec![Message::of("4", "panic")]).await, ["4"]);
    assert_eq!(reader.batches.into_inner(), 1);
}

#[tokio::test]
async fn a_process_that_is_to_end_takes_nothing() {
    let app = TestApp::start().await.app().await;
    let reader = Reader::default();
    app.shutdown.begin().await;
    assert_eq!(deliver(&reader, &app, ten("4")).await.len(), 10);
    assert!(reader.done().is_empty());
}

#[tokio::test]
async fn the_end_waits_for_a_batch_that_is_under_way() {
    struct Slow;
    impl Consumer for Slow {
        async fn consume(&self, app: &App, _: Vec<Message>) -> Vec<String> {
            app.shutdown.begun().await;
            tokio::task::yield_now().await;
            Vec::new()
        }
    }
    let app = TestApp::start().await.app().await;
    let end = async {
        tokio::task::yield_now().await;
        assert!(app.shutdown.is_busy());
        app.shutdown.begin().await;
        assert!(!app.shutdown.is_busy());
    };
    let (failed, ()) = tokio::join!(deliver(&Slow, &app, ten("4")), end);
    assert!(failed.is_empty());
}

#[test]
fn a_message_keeps_what_sqs_tells_of_it() {
    let event: aws_lambda_events::sqs::SqsEvent = serde_json::from_value(serde_json::json!({"Records": [{
        "messageId": "1", "body": "text",
        "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1800000000000"},
        "messageAttributes": {"traceparent": {"dataType": "String", "stringValue": "00-1-2-01"},
            "bytes": {"dataType": "Binary", "binaryValue": "AA=="}},
    }, {"messageId": "2", "body": "bare"}]}))
    .unwrap();
    let mut messages = event.records.into_iter().map(Message::from);
    let first = messages.next().unwrap();
    assert_eq!(
        (first.id.as_str(), first.body.as_str(), first.receives),
        ("1", "text", 3)
    );
    assert_eq!(first.sent_at, Some(testing::START));
    assert_eq!(
        Vec::from_iter(first.attributes),
        [("traceparent".to_owned(), "00-1-2-01".to_owned())]
    );
    let second = messages.next().unwrap();
    assert_eq!(second, Message::of("2", "bare"));
}

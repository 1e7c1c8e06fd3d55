//! SQS as the AWS SDK sees it.

use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{Config, Credentials, Region};
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use stack::aws::{Aws, Storage};
use stack::clock::Clock;

use crate::fixture::template;

struct Queues {
    aws: Aws,
    clock: Clock,
    client: Client,
}

const WORK: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/Work";
const DEAD: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/Dead";

async fn queues() -> Queues {
    let clock = Clock::system();
    let template = template(std::path::Path::new("/nowhere"));
    let aws = Aws::start(&template, [].into(), &Storage::Memory, &clock)
        .await
        .unwrap();
    let client = client(&aws, "tests");
    Queues { aws, clock, client }
}

fn client(aws: &Aws, access_key: &str) -> Client {
    let config = Config::builder()
        .region(Region::new("us-east-1"))
        .endpoint_url(aws.endpoint())
        .credentials_provider(Credentials::new(access_key, "local", None, None, "test"))
        .behavior_version_latest();
    Client::from_conf(config.build())
}

impl Queues {
    async fn send(&self, body: &str) {
        self.client
            .send_message()
            .queue_url(WORK)
            .message_body(body)
            .send()
            .await
            .unwrap();
    }

    async fn receive(&self, url: &str) -> Vec<aws_sdk_sqs::types::Message> {
        let request = self.client.receive_message().queue_url(url).max_number_of_messages(10);
        let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
        let reply = request.message_attribute_names("All").send().await.unwrap();
        reply.messages.unwrap_or_default()
    }
}

#[tokio::test]
async fn a_message_is_received_with_its_attributes_and_deleted() {
    let queues = queues().await;
    let attribute = MessageAttributeValue::builder()
        .data_type("String")
        .string_value("v")
        .build()
        .unwrap();
    let request = queues
        .client
        .send_message()
        .queue_url(WORK)
        .message_body("hi")
        .message_attributes("a", attribute);
    let sent = request.send().await.unwrap();
    assert_eq!(sent.md5_of_message_body(), Some("49f68a5c8493ec2c0bf489821c21fc3b"));
    let received = queues.receive(WORK).await;
    let message = &received[0];
    assert_eq!(message.body(), Some("hi"));
    assert_eq!(message.md5_of_message_attributes(), sent.md5_of_message_attributes());
    assert_eq!(message.message_attributes().unwrap()["a"].string_value(), Some("v"));
    let system = message.attributes().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    let receipt = message.receipt_handle().unwrap();
    queues
        .client
        .delete_message()
        .queue_url(WORK)
        .receipt_handle(receipt)
        .send()
        .await
        .unwrap();
    assert_eq!(queues.aws.sqs().depth("Work").unwrap().total(), 0);
}

#[tokio::test]
async fn a_received_message_is_hidden_then_comes_again() {
    let queues = queues().await;
    queues.send("x").await;
    let first = queues.receive(WORK).await;
    assert_eq!(queues.receive(WORK).await.len(), 0);
    let request = queues.client.receive_message().queue_url(WORK).wait_time_seconds(5);
    let begun = Instant::now();
    let again = request.send().await.unwrap().messages.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4));
    assert_eq!(again[0].message_id(), first[0].message_id());
    // The first receipt is worth nothing any more.
    let old = first[0].receipt_handle().unwrap();
    queues
        .client
        .delete_message()
        .queue_url(WORK)
        .receipt_handle(old)
        .send()
        .await
        .unwrap();
    assert_eq!(queues.aws.sqs().depth("Work").unwrap().total(), 1);
}

#[tokio::test]
async fn a_message_received_too_often_moves_to_the_dead_letter_queue_and_back() {
    let queues = queues().await;
    queues.send("poison").await;
    for _ in 0..2 {
        let received = queues.receive(WORK).await;
        let receipt = received[0].receipt_handle().unwrap();
        let change = queues
            .client
            .change_message_visibility()
            .queue_url(WORK)
            .receipt_handle(receipt);
        change.visibility_timeout(0).send().await.unwrap();
    }
    assert_eq!(queues.receive(WORK).await.len(), 0);
    let dead = queues.receive(DEAD).await;
    assert_eq!(dead[0].body(), Some("poison"));
    let source = &dead[0].attributes().unwrap()[&MessageSystemAttributeName::DeadLetterQueueSourceArn];
    assert_eq!(source, "arn:aws:sqs:us-east-1:000000000000:Work");
    let receipt = dead[0].receipt_handle().unwrap();
    let change = queues
        .client
        .change_message_visibility()
        .queue_url(DEAD)
        .receipt_handle(receipt);
    change.visibility_timeout(0).send().await.unwrap();
    let task = queues
        .client
        .start_message_move_task()
        .source_arn("arn:aws:sqs:us-east-1:000000000000:Dead");
    task.send().await.unwrap();
    assert_eq!(queues.receive(WORK).await[0].body(), Some("poison"));
}

#[tokio::test]
async fn a_delay_follows_the_test_clock() {
    let queues = queues().await;
    let request = queues
        .client
        .send_message()
        .queue_url(WORK)
        .message_body("later")
        .delay_seconds(900);
    request.send().await.unwrap();
    assert_eq!(queues.receive(WORK).await.len(), 0);
    assert_eq!(queues.aws.sqs().depth("Work").unwrap().delayed, 1);
    let waiting = queues
        .client
        .receive_message()
        .queue_url(WORK)
        .wait_time_seconds(20)
        .send();
    let (received, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        queues.clock.advance(900).unwrap();
    });
    assert_eq!(received.unwrap().messages().len(), 1);
}

#[tokio::test]
async fn a_batch_takes_what_is_good() {
    let queues = queues().await;
    let entry = |id: &str, body: &str| {
        SendMessageBatchRequestEntry::builder()
            .id(id)
            .message_body(body)
            .build()
            .unwrap()
    };
    let request = queues.client.send_message_batch().queue_url(WORK);
    let reply = request
        .entries(entry("a", "1"))
        .entries(entry("b", "\u{1}"))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.successful().len(), 1);
    assert_eq!(
        (reply.failed()[0].id(), reply.failed()[0].code()),
        ("b", "InvalidMessageContents")
    );
    let received = queues.receive(WORK).await;
    let delete = DeleteMessageBatchRequestEntry::builder()
        .id("a")
        .receipt_handle(received[0].receipt_handle().unwrap());
    let request = queues
        .client
        .delete_message_batch()
        .queue_url(WORK)
        .entries(delete.build().unwrap());
    assert_eq!(request.send().await.unwrap().successful().len(), 1);
    assert_eq!(queues.aws.sqs().depth("Work").unwrap().total(), 0);
}

#[tokio::test]
async fn limits_are_those_of_sqs() {
    let queues = queues().await;
    let send = |body: String| queues.client.send_message().queue_url(WORK).message_body(body).send();
    send("x".repeat(1_048_576)).await.unwrap();
    let error = send("x".repeat(1_048_577)).await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    let entries = (0..11).map(|number| {
        SendMessageBatchRequestEntry::builder()
            .id(number.to_string())
            .message_body("x")
            .build()
            .unwrap()
    });
    let request = queues
        .client
        .send_message_batch()
        .queue_url(WORK)
        .set_entries(Some(entries.collect()));
    assert_eq!(
        request.send().await.unwrap_err().code(),
        Some("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")
    );
}

#[tokio::test]
async fn queues_can_be_found_and_described() {
    let queues = queues().await;
    let url = queues.client.get_queue_url().queue_name("Work").send().await.unwrap();
    assert_eq!(url.queue_url(), Some(WORK));
    let missing = queues
        .client
        .get_queue_url()
        .queue_name("None")
        .send()
        .await
        .unwrap_err();
    assert!(missing.into_service_error().is_queue_does_not_exist());
    queues.send("x").await;
    let request = queues
        .client
        .get_queue_attributes()
        .queue_url(WORK)
        .attribute_names(QueueAttributeName::All);
    let attributes = request.send().await.unwrap().attributes.unwrap();
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "1");
    assert!(attributes[&QueueAttributeName::RedrivePolicy].contains(r#""maxReceiveCount":2"#));
    queues.client.purge_queue().queue_url(WORK).send().await.unwrap();
    assert_eq!(queues.aws.sqs().depth("Work").unwrap().total(), 0);
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let queues = queues().await;
    let error = queues.client.create_queue().queue_name("new").send().await.unwrap_err();
    assert_eq!(error.code(), Some("UnknownOperationException"));
    assert!(error.message().unwrap().contains("CreateQueue"));
}

#[tokio::test]
async fn a_function_may_not_send_where_its_policy_does_not_say_so() {
    let queues = queues().await;
    let worker = client(&queues.aws, "Worker");
    let error = worker
        .send_message()
        .queue_url(WORK)
        .message_body("x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("AccessDeniedException"));
    assert!(
        error
            .message()
            .unwrap()
            .contains("sqs:SendMessage on resource: arn:aws:sqs:us-east-1:000000000000:Work")
    );
}

impl Queues {
    async fn send_of(&self, group: &str, bodies: impl Iterator<Item = String>) {
        let entry = |(place, body): (usize, String)| {
            let entry = SendMessageBatchRequestEntry::builder().id(place.to_string());
            entry.message_body(body).message_group_id(group).build().unwrap()
        };
        let entries: Vec<_> = bodies.enumerate().map(entry).collect();
        for batch in entries.chunks(10) {
            let send = self.client.send_message_batch().queue_url(WORK);
            let sent = send.set_entries(Some(batch.to_vec())).send().await.unwrap();
            assert!(sent.failed().is_empty());
        }
    }

    async fn bodies(&self) -> Vec<String> {
        let received = self.receive(WORK).await;
        received.into_iter().filter_map(|message| message.body).collect()
    }
}

#[tokio::test]
async fn a_group_with_much_in_flight_does_not_hold_up_others() {
    let queues = queues().await;
    queues
        .send_of("noisy", (0..60).map(|number| format!("noisy-{number}")))
        .await;
    for _ in 0..4 {
        assert_eq!(queues.bodies().await.len(), 10);
    }
    queues
        .send_of("quiet", ["quiet-0".to_owned(), "quiet-1".to_owned()].into_iter())
        .await;
    queues.send("of nobody").await;
    // Sent last, and served first: nothing of theirs is in flight, and forty of the other.
    let mut next = queues.bodies().await;
    assert_eq!(
        &next[3..],
        (40..47).map(|number| format!("noisy-{number}")).collect::<Vec<_>>()
    );
    next.truncate(3);
    next.sort();
    assert_eq!(next, ["of nobody", "quiet-0", "quiet-1"]);
    // And nothing is held back where nobody else waits.
    assert_eq!(queues.bodies().await.len(), 10);
}

#[tokio::test]
async fn a_message_tells_its_group() {
    let queues = queues().await;
    let send = |group: &str| {
        let send = queues.client.send_message().queue_url(WORK).message_body("x");
        send.message_group_id(group).send()
    };
    send("org_1#wh_2").await.unwrap();
    let refused = send("two words").await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterValue"));
    let received = queues.receive(WORK).await.remove(0);
    let attributes = received.attributes.unwrap();
    assert_eq!(attributes[&MessageSystemAttributeName::MessageGroupId], "org_1#wh_2");
    assert_eq!(attributes[&MessageSystemAttributeName::ApproximateReceiveCount], "1");
    assert!(attributes.contains_key(&MessageSystemAttributeName::SentTimestamp));
}

#[tokio::test]
async fn a_queue_tells_how_much_waits_is_in_flight_and_is_delayed() {
    let queues = queues().await;
    for body in ["a", "b", "c"] {
        queues.send(body).await;
    }
    let delayed = queues
        .client
        .send_message()
        .queue_url(WORK)
        .message_body("d")
        .delay_seconds(60);
    delayed.send().await.unwrap();
    let receive = queues
        .client
        .receive_message()
        .queue_url(WORK)
        .max_number_of_messages(1);
    assert_eq!(receive.send().await.unwrap().messages().len(), 1);
    let ask = |access_key: &str| {
        let ask = client(&queues.aws, access_key).get_queue_attributes().queue_url(WORK);
        let ask = ask.attribute_names(QueueAttributeName::ApproximateNumberOfMessages);
        let ask = ask.attribute_names(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        ask.attribute_names(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            .send()
    };
    let attributes = ask("tests").await.unwrap().attributes.unwrap();
    assert_eq!(attributes.len(), 3);
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessages], "2");
    assert_eq!(
        attributes[&QueueAttributeName::ApproximateNumberOfMessagesNotVisible],
        "1"
    );
    assert_eq!(attributes[&QueueAttributeName::ApproximateNumberOfMessagesDelayed], "1");
    let refused = ask("Worker").await.unwrap_err();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    assert!(refused.message().unwrap().contains("sqs:GetQueueAttributes"));
}

#[tokio::test]
async fn moves_of_dead_letters_are_listed() {
    let queues = queues().await;
    queues.send("x").await;
    for _ in 0..3 {
        for message in queues.receive(WORK).await {
            let receipt = message.receipt_handle.unwrap();
            let show = queues
                .client
                .change_message_visibility()
                .queue_url(WORK)
                .receipt_handle(receipt);
            show.visibility_timeout(0).send().await.unwrap();
        }
    }
    assert_eq!(queues.aws.sqs().depth("Dead").unwrap().visible, 1);
    let arn = |name: &str| format!("arn:aws:sqs:us-east-1:000000000000:{name}");
    let start = |source: &str| queues.client.start_message_move_task().source_arn(arn(source)).send();
    let refused = start("Work").await.unwrap_err();
    assert!(refused.message().unwrap().contains("Dead Letter Queue"));
    start("Dead").await.unwrap();
    let list = queues.client.list_message_move_tasks().source_arn(arn("Dead"));
    let listed = list.max_results(10).send().await.unwrap().results.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].status(), listed[0].approximate_number_of_messages_moved()),
        (Some("COMPLETED"), 1)
    );
    assert_eq!(queues.bodies().await, ["x"]);
}

//! DynamoDB, SES and SSM as the AWS SDK sees them.

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag, Template};
use serde_json::{Value, json};
use stack::aws::{Aws, Storage};
use stack::clock::Clock;

use crate::fixture::template;

async fn start(storage: &Storage) -> Aws {
    start_at(storage, &Clock::system()).await
}

async fn start_at(storage: &Storage, clock: &Clock) -> Aws {
    let parameters = BTreeMap::from([("/a/b".to_owned(), "secret".to_owned())]);
    Aws::start(&template(Path::new("/nowhere")), parameters, storage, clock)
        .await
        .unwrap()
}

macro_rules! client {
    ($sdk:ident, $aws:expr, $access_key:expr) => {{
        let config = $sdk::Config::builder()
            .region(Region::new("us-east-1"))
            .endpoint_url($aws.endpoint())
            .credentials_provider(Credentials::new($access_key, "local", None, None, "test"))
            .behavior_version_latest();
        $sdk::Client::from_conf(config.build())
    }};
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

#[tokio::test]
async fn items_are_written_in_one_transaction_or_not_at_all() {
    let aws = start(&Storage::Memory).await;
    let dynamodb = client!(aws_sdk_dynamodb, aws, "tests");
    let put = Put::builder()
        .table_name("Granted")
        .item("pk", text("a"))
        .condition_expression("attribute_not_exists(pk)");
    let put = TransactWriteItem::builder().put(put.build().unwrap()).build();
    let update = Update::builder()
        .table_name("Forbidden")
        .key("pk", text("count"))
        .update_expression("ADD seen :one")
        .expression_attribute_values(":one", AttributeValue::N("1".into()));
    let update = TransactWriteItem::builder().update(update.build().unwrap()).build();
    let write = || {
        dynamodb
            .transact_write_items()
            .transact_items(put.clone())
            .transact_items(update.clone())
            .send()
    };
    write().await.unwrap();
    let refused = write().await.unwrap_err().into_service_error();
    assert!(refused.is_transaction_canceled_exception());
    let read = dynamodb
        .get_item()
        .table_name("Forbidden")
        .key("pk", text("count"))
        .send()
        .await
        .unwrap();
    assert_eq!(read.item.unwrap()["seen"], AttributeValue::N("1".into()));
}

#[tokio::test]
async fn a_bad_request_is_refused_as_dynamodb_words_it() {
    let aws = start(&Storage::Memory).await;
    let dynamodb = client!(aws_sdk_dynamodb, aws, "tests");
    let error = dynamodb
        .put_item()
        .table_name("Granted")
        .item("other", text("a"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("ValidationException"));
    let error = dynamodb
        .get_item()
        .table_name("Nothing")
        .key("pk", text("a"))
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_resource_not_found_exception());
    let error = dynamodb.list_backups().send().await.unwrap_err();
    assert_eq!(error.code(), Some("UnknownOperationException"));
}

#[tokio::test]
async fn items_in_a_folder_stay() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::Folder(folder.path().to_owned());
    {
        let aws = start(&storage).await;
        let dynamodb = client!(aws_sdk_dynamodb, aws, "tests");
        dynamodb
            .put_item()
            .table_name("Granted")
            .item("pk", text("a"))
            .send()
            .await
            .unwrap();
    }
    let aws = start(&storage).await;
    let dynamodb = client!(aws_sdk_dynamodb, aws, "tests");
    let read = dynamodb
        .get_item()
        .table_name("Granted")
        .key("pk", text("a"))
        .send()
        .await
        .unwrap();
    assert!(read.item.is_some());
}

async fn check_expiry(storage: &Storage) {
    let clock = Clock::system();
    let aws = start_at(storage, &clock).await;
    let dynamodb = client!(aws_sdk_dynamodb, aws, "tests");
    for (key, hours) in [("soon", 1), ("later", 3)] {
        let expires = AttributeValue::N((clock.now_ms() / 1000 + hours * 3600).to_string());
        let put = dynamodb
            .put_item()
            .table_name("Granted")
            .item("pk", text(key))
            .item("expiresAt", expires);
        put.send().await.unwrap();
    }
    clock.advance(2 * 3600).unwrap();
    aws.sweeper().sweep().unwrap();
    let left = dynamodb.scan().table_name("Granted").send().await.unwrap();
    let left: Vec<&AttributeValue> = left.items().iter().map(|item| &item["pk"]).collect();
    assert_eq!(left, [&text("later")]);
}

#[tokio::test]
async fn items_expire_by_the_test_clock() {
    check_expiry(&Storage::Memory).await;
    let folder = tempfile::tempdir().unwrap();
    check_expiry(&Storage::Folder(folder.path().to_owned())).await;
}

fn utf8(text: &str) -> Content {
    Content::builder().data(text).charset("UTF-8").build().unwrap()
}

fn mail(subject: &str, text: Content) -> EmailContent {
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build().unwrap();
    let body = Body::builder().text(text).html(utf8("<p>Grüße</p>")).build();
    let message = Message::builder()
        .subject(utf8(subject))
        .body(body)
        .headers(header("List-Unsubscribe", "<https://example.com/u>"))
        .headers(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    EmailContent::builder().simple(message.build()).build()
}

/// Sends as the function `Web`; the code that it was refused with.
async fn send(aws: &Aws, from: &str, to: &str, content: EmailContent) -> Option<String> {
    let ses = client!(aws_sdk_sesv2, aws, "Web");
    let to = Destination::builder().to_addresses(to).build();
    let send = ses.send_email().from_email_address(from).destination(to);
    let sent = send.content(content).send().await;
    sent.err().and_then(|error| error.code().map(str::to_owned))
}

#[tokio::test]
async fn mails_are_kept_for_those_who_ask() {
    let aws = start(&Storage::Memory).await;
    let from = "Us <us@example.com>";
    for (to, subject) in [("Her@example.com", "For <Her>"), ("him@example.com", "Grüße")] {
        assert_eq!(send(&aws, from, to, mail(subject, utf8("Grüße"))).await, None);
    }
    assert_eq!(aws.ses().mails(None).unwrap().len(), 2);
    let hers = aws.ses().mails(Some("her@example.com")).unwrap().remove(0);
    assert_eq!((hers.subject.as_str(), hers.from.as_str()), ("For <Her>", from));
    assert_eq!(hers.html.as_deref(), Some("<p>Grüße</p>"));
    assert_eq!(hers.text.as_deref(), Some("Grüße"));
    assert_eq!(hers.headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");
}

#[tokio::test]
async fn what_ses_would_not_send_is_refused() {
    let aws = start(&Storage::Memory).await;
    let ascii = Content::builder().data("Grüße").build().unwrap();
    let template = Template::builder().template_name("welcome").template_data("{}").build();
    for bad in [
        mail("two\nlines", utf8("Grüße")),
        mail("no charset", ascii),
        EmailContent::builder().template(template).build(),
        EmailContent::builder().build(),
    ] {
        let code = send(&aws, "us@example.com", "her@example.com", bad).await;
        assert_eq!(code.as_deref(), Some("BadRequestException"));
    }
    assert!(aws.ses().mails(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_mail_without_a_recipient_is_refused() {
    let aws = start(&Storage::Memory).await;
    let ses = client!(aws_sdk_sesv2, aws, "tests");
    let send = ses.send_email().from_email_address("us@example.com");
    let error = send.content(mail("Hi", utf8("x"))).send().await.unwrap_err();
    assert_eq!(error.code(), Some("BadRequestException"));
    assert!(aws.ses().mails(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_function_sends_only_as_whom_it_may() {
    let aws = start(&Storage::Memory).await;
    let her = "her@example.com";
    assert_eq!(send(&aws, "us@example.com", her, mail("Hi", utf8("x"))).await, None);
    let denied = send(&aws, "them@example.org", her, mail("Hi", utf8("x"))).await;
    assert_eq!(denied.as_deref(), Some("AccessDeniedException"));
}

/// Asks SSM for a parameter as who has this access key; yields the status and the reply.
async fn parameter(aws: &Aws, access_key: &str, name: &str) -> (u16, Value) {
    let credential = format!("AWS4-HMAC-SHA256 Credential={access_key}/20270115/us-east-1/ssm/aws4_request");
    let request = reqwest::Client::new()
        .post(aws.endpoint())
        .header("authorization", credential)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "AmazonSSM.GetParameter")
        .body(json!({"Name": name, "WithDecryption": true}).to_string());
    let reply = request.send().await.unwrap();
    let status = reply.status().as_u16();
    (status, serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn parameters_can_be_read() {
    let aws = start(&Storage::Memory).await;
    let (status, read) = parameter(&aws, "tests", "/a/b").await;
    assert_eq!((status, &read["Parameter"]["Value"]), (200, &json!("secret")));
    let (status, missing) = parameter(&aws, "tests", "/none").await;
    assert_eq!((status, &missing["__type"]), (400, &json!("ParameterNotFound")));
    let (status, refused) = parameter(&aws, "Web", "/a/b").await;
    assert_eq!((status, &refused["__type"]), (400, &json!("AccessDeniedException")));
}

/// Sends as the function `Web` by a configuration set; the mail's id, or the code that it was refused with.
async fn send_by(aws: &Aws, set: &str) -> Result<String, String> {
    let ses = client!(aws_sdk_sesv2, aws, "Web");
    let to = Destination::builder().to_addresses("her@example.com").build();
    let tag = MessageTag::builder().name("owner").value("org_1").build().unwrap();
    let send = ses.send_email().from_email_address("us@example.com").destination(to);
    let send = send.configuration_set_name(set).email_tags(tag);
    match send.content(mail("Hi", utf8("x"))).send().await {
        Ok(sent) => Ok(sent.message_id.unwrap()),
        Err(error) => Err(error.code().unwrap_or_default().to_owned()),
    }
}

#[tokio::test]
async fn a_mail_is_sent_by_a_configuration_set_that_its_sender_may_use() {
    let aws = start(&Storage::Memory).await;
    send_by(&aws, "ours").await.unwrap();
    let sent = aws.ses().mails(None).unwrap().remove(0);
    assert_eq!(sent.configuration_set.as_deref(), Some("ours"));
    assert_eq!(sent.tags["owner"], "org_1");
    assert_eq!(send_by(&aws, "theirs").await, Err("AccessDeniedException".to_owned()));
    let ses = client!(aws_sdk_sesv2, aws, "tests");
    let send = ses
        .send_email()
        .from_email_address("us@example.com")
        .configuration_set_name("nobodys");
    let to = Destination::builder().to_addresses("her@example.com").build();
    let refused = send.destination(to).content(mail("Hi", utf8("x"))).send().await;
    assert_eq!(refused.unwrap_err().code(), Some("NotFoundException"));
}

#[tokio::test]
async fn what_becomes_of_a_mail_goes_to_the_queues_of_rules_that_want_it() {
    let aws = start(&Storage::Memory).await;
    let id = send_by(&aws, "ours").await.unwrap();
    let event = |kind: &str| json!({"eventType": kind, "mail": {"messageId": id}});
    // Nobody wants deliveries: neither the rule nor the configuration set names them.
    assert_eq!(aws.tell_of_mail(event("Delivery")), Ok(0));
    assert_eq!(
        aws.tell_of_mail(event("Complaint")),
        Ok(0),
        "which the set does not tell"
    );
    assert_eq!(aws.tell_of_mail(event("Bounce")), Ok(1));
    let whole = json!({"id": "7", "detail": {"eventType": "Bounce", "mail": {"messageId": "unknown"}}});
    assert_eq!(aws.tell_of_mail(whole), Ok(1));
    assert!(aws.tell_of_mail(json!({"eventType": "Nothing"})).is_err());

    let told = aws.sqs().peek("Unread", 10).unwrap();
    let told: Vec<Value> = told.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0]["detail-type"], "Email Bounced");
    assert_eq!(told[0]["source"], "aws.ses");
    assert_eq!(
        told[0]["detail"]["mail"]["tags"],
        json!({"owner": ["org_1"], "ses:configuration-set": ["ours"]})
    );
    assert_eq!(
        (&told[1]["id"], &told[1]["detail"]["mail"]["tags"]),
        (&json!("7"), &Value::Null)
    );
}

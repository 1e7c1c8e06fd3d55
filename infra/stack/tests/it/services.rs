//! DynamoDB, SES and SSM as the AWS SDK sees them.

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader, Template};
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

fn mail(template: &str, data: &str) -> EmailContent {
    let header = MessageHeader::builder().name("X-Job").value("job_1").build().unwrap();
    let template = Template::builder()
        .template_name(template)
        .template_data(data)
        .headers(header)
        .build();
    EmailContent::builder().template(template).build()
}

#[tokio::test]
async fn mails_are_filled_in_and_kept_for_those_who_ask() {
    let aws = start(&Storage::Memory).await;
    let ses = client!(aws_sdk_sesv2, aws, "tests");
    let send = async |to: &str, content: EmailContent| {
        let to = Destination::builder().to_addresses(to).build();
        let send = ses.send_email().from_email_address("us@example.com").destination(to);
        send.content(content).send().await
    };
    for (to, name) in [("Her@example.com", "<Her>"), ("him@example.com", "Him")] {
        let data = format!(r#"{{"name":"{name}"}}"#);
        send(to, mail("local-welcome", &data)).await.unwrap();
    }
    assert_eq!(aws.ses().mails(None).unwrap().len(), 2);
    let hers = aws.ses().mails(Some("her@example.com")).unwrap().remove(0);
    assert_eq!(
        (hers.subject.as_str(), hers.from.as_str()),
        ("For <Her>", "us@example.com")
    );
    assert_eq!(hers.html.as_deref(), Some("<p>Dear <Her></p>"));
    assert_eq!(hers.text.as_deref(), Some("Dear <Her>"));
    assert_eq!(hers.headers["X-Job"], "job_1");

    let unknown = send("her@example.com", mail("local-farewell", "{}")).await.unwrap_err();
    assert!(unknown.into_service_error().is_not_found_exception());
    for bad in [
        mail("local-welcome", "{}"),
        mail("local-welcome", "{"),
        EmailContent::builder().build(),
    ] {
        let error = send("her@example.com", bad).await.unwrap_err();
        assert_eq!(error.code(), Some("BadRequestException"));
    }
    assert_eq!(aws.ses().mails(None).unwrap().len(), 2);
}

fn simple(subject: &str, text: Content) -> EmailContent {
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build().unwrap();
    let utf8 = |data: &str| Content::builder().data(data).charset("UTF-8").build().unwrap();
    let body = Body::builder().text(text).html(utf8("<p>Grüße</p>")).build();
    let message = Message::builder()
        .subject(utf8(subject))
        .body(body)
        .headers(header("List-Unsubscribe", "<https://example.com/u>"))
        .headers(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"));
    EmailContent::builder().simple(message.build()).build()
}

#[tokio::test]
async fn a_mail_may_be_written_out() {
    let aws = start(&Storage::Memory).await;
    let send = async |content: EmailContent| {
        let to = Destination::builder().to_addresses("her@example.com").build();
        let ses = client!(aws_sdk_sesv2, aws, "Web");
        let send = ses
            .send_email()
            .from_email_address("Us <us@example.com>")
            .destination(to);
        let sent = send.content(content).send().await;
        sent.err().and_then(|error| error.code().map(str::to_owned))
    };
    let text = |data: &str| Content::builder().data(data);
    let with_charset = text("Grüße").charset("UTF-8").build().unwrap();
    assert_eq!(send(simple("Grüße", with_charset.clone())).await, None);
    let mail = aws.ses().mails(None).unwrap().remove(0);
    assert_eq!((mail.subject.as_str(), mail.text.as_deref()), ("Grüße", Some("Grüße")));
    assert_eq!(mail.html.as_deref(), Some("<p>Grüße</p>"));
    assert_eq!(mail.headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click");

    let bad = Some("BadRequestException".to_owned());
    assert_eq!(send(simple("two\nlines", with_charset)).await, bad);
    assert_eq!(send(simple("no charset", text("Grüße").build().unwrap())).await, bad);
    assert_eq!(send(EmailContent::builder().build()).await, bad);
    assert_eq!(aws.ses().mails(None).unwrap().len(), 1);
}

#[tokio::test]
async fn a_mail_without_a_recipient_is_refused() {
    let aws = start(&Storage::Memory).await;
    let ses = client!(aws_sdk_sesv2, aws, "tests");
    let send = ses.send_email().from_email_address("us@example.com");
    let content = mail("local-welcome", r#"{"name":"x"}"#);
    let error = send.content(content).send().await.unwrap_err();
    assert_eq!(error.code(), Some("BadRequestException"));
    assert!(aws.ses().mails(None).unwrap().is_empty());
}

#[tokio::test]
async fn a_function_sends_only_as_whom_and_by_what_it_may() {
    let aws = start(&Storage::Memory).await;
    let send = async |from: &str, template: &str| {
        let ses = client!(aws_sdk_sesv2, aws, "Web");
        let to = Destination::builder().to_addresses("her@example.com").build();
        let send = ses.send_email().from_email_address(from).destination(to);
        let sent = send.content(mail(template, r#"{"name":"x"}"#)).send().await;
        sent.err().and_then(|error| error.code().map(str::to_owned))
    };
    assert_eq!(send("us@example.com", "local-welcome").await, None);
    let denied = Some("AccessDeniedException".to_owned());
    assert_eq!(send("them@example.org", "local-welcome").await, denied);
    assert_eq!(send("us@example.com", "local-farewell").await, denied);
}

#[tokio::test]
async fn parameters_can_be_read() {
    let aws = start(&Storage::Memory).await;
    let ssm = client!(aws_sdk_ssm, aws, "tests");
    let read = ssm
        .get_parameter()
        .name("/a/b")
        .with_decryption(true)
        .send()
        .await
        .unwrap();
    assert_eq!(read.parameter.unwrap().value(), Some("secret"));
    let missing = ssm.get_parameter().name("/none").send().await.unwrap_err();
    assert!(missing.into_service_error().is_parameter_not_found());
    let refused = client!(aws_sdk_ssm, aws, "Web")
        .get_parameter()
        .name("/a/b")
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
}

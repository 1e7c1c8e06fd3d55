//! Mails, by SES v2. SES is handed what we rendered; it knows no template of ours.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::Builder;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::ProvideErrorMetadata;
use aws_sdk_sesv2::primitives::Blob;
use aws_sdk_sesv2::types::{
    Attachment, AttachmentContentDisposition, Body, Content, Destination, EmailContent, Message, MessageHeader,
    MessageTag,
};
use jobs::Outcome;
use kernel::{JobId, mailbox};
use lambda::Env;
use notifications::mails::Line;
use notifications::suppression::OWNER_TAG;
use notifications::{Mail, Owner};

/// How long SES may take; well within the job's lease.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The header by which a mail that was sent twice is known.
const JOB_HEADER: &str = "X-Countinghouse-Job";
/// What SES will say again, whenever it is asked.
const FINAL: [&str; 2] = ["BadRequestException", "MessageRejected"];

/// A PDF that goes with a mail.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Who sends.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Its address.
    from: String,
    /// What mails call the product.
    product: Line,
    /// What SES is to tell us of what becomes of mails.
    configuration_set: String,
}

impl Sender {
    pub(crate) fn of(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            from: env.variable("MAIL_FROM")?.to_owned(),
            product: env.variable("PRODUCT_NAME")?.into(),
            configuration_set: env.variable("MAIL_CONFIGURATION_SET")?.to_owned(),
        })
    }
}

/// Sends mails.
#[derive(Debug)]
pub(crate) struct Mailer {
    client: Client,
    sender: Sender,
}

impl Mailer {
    pub(crate) fn new(config: Builder, sender: Sender) -> Self {
        // The job has attempts of its own, which are counted.
        let config = config
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build());
        Self {
            client: Client::from_conf(config.build()),
            sender,
        }
    }

    pub(crate) async fn send(&self, job: JobId, owner: Owner, mail: &Mail, file: Option<Attached>) -> Outcome {
        let sender = &self.sender;
        // SES takes seven bits.
        let Some(to) = mailbox::ascii(&mail.to) else {
            return Outcome::dead("the address cannot be sent to");
        };
        // Comes back with what becomes of the mail.
        let owner = MessageTag::builder().name(OWNER_TAG).value(owner.to_string()).build();
        let made = message(job, mail, file, &sender.product).and_then(|message| Ok((message, owner?)));
        let (message, owner) = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(job.id = %job, error = format!("{error:#}"), "a mail cannot be made");
                return Outcome::dead("the mail cannot be made");
            }
        };
        let sent = self
            .client
            .send_email()
            .from_email_address(&sender.from)
            .destination(Destination::builder().to_addresses(to).build())
            .configuration_set_name(&sender.configuration_set)
            .email_tags(owner)
            .content(EmailContent::builder().simple(message).build())
            .send()
            .await;
        match sent {
            Ok(sent) if sent.message_id.is_some() => Outcome::Done,
            Ok(_) => Outcome::again("the mail service gave no receipt"),
            Err(error) => {
                // Its code alone: what else it says is for us.
                let code = error.code().unwrap_or("no answer").to_owned();
                // SES names the recipient in some of its messages, and no address is to stand in a log.
                tracing::warn!(job.id = %job, code, error = %error, "SES took no mail");
                let why = format!("the mail service answered: {code}");
                if FINAL.contains(&code.as_str()) {
                    Outcome::dead(why)
                } else {
                    Outcome::again(why)
                }
            }
        }
    }
}

/// What SES takes: a mail with its headers, and the one by which a repeat is known.
fn message(job: JobId, mail: &Mail, file: Option<Attached>, product: &Line) -> anyhow::Result<Message> {
    let mail = mail.render(product)?;
    let text = |data: String| Content::builder().data(data).charset("UTF-8").build();
    let body = Body::builder().text(text(mail.text)?).html(text(mail.html)?).build();
    let mut message = Message::builder().subject(text(mail.subject)?).body(body);
    for (name, value) in mail.headers.into_iter().chain([(JOB_HEADER, job.to_string())]) {
        message = message.headers(MessageHeader::builder().name(name).value(value).build()?);
    }
    if let Some(file) = file {
        let attachment = Attachment::builder()
            .file_name(file.name)
            .content_type("application/pdf")
            .content_disposition(AttachmentContentDisposition::Attachment)
            .raw_content(Blob::new(file.bytes));
        message = message.attachments(attachment.build()?);
    }
    Ok(message.build())
}

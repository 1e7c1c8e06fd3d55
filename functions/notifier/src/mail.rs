//! Mails, by SES v2 and the templates of template.yaml.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::Builder;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use aws_sdk_sesv2::error::ProvideErrorMetadata;
use aws_sdk_sesv2::types::{Destination, EmailContent, MessageHeader, Template};
use kernel::JobId;
use notifications::{Failure, Mail};

/// How long SES may take; well within the job's lease.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The header by which a mail that was sent twice is known.
const JOB_HEADER: &str = "X-Countinghouse-Job";
/// What SES will say again, whenever it is asked.
const FINAL: [&str; 2] = ["BadRequestException", "MessageRejected"];

/// Sends mails.
#[derive(Debug)]
pub(crate) struct Mailer {
    client: Client,
    from: String,
    stack: String,
}

impl Mailer {
    pub(crate) fn new(config: Builder, from: &str, stack: &str) -> Self {
        // The job has attempts of its own, which are counted.
        let config = config
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(TIMEOUT).build());
        Self {
            client: Client::from_conf(config.build()),
            from: from.to_owned(),
            stack: stack.to_owned(),
        }
    }

    pub(crate) async fn send(&self, job: JobId, mail: &Mail) -> Result<(), Failure> {
        let header = MessageHeader::builder().name(JOB_HEADER).value(job.to_string()).build();
        let template = Template::builder()
            .template_name(format!("{}-{}", self.stack, mail.template.name()))
            .template_data(mail.template_data())
            .set_headers(header.ok().map(|header| vec![header]))
            .build();
        let sent = self
            .client
            .send_email()
            .from_email_address(&self.from)
            .destination(Destination::builder().to_addresses(&mail.to).build())
            .content(EmailContent::builder().template(template).build())
            .send()
            .await;
        match sent {
            Ok(sent) if sent.message_id.is_some() => Ok(()),
            Ok(_) => Err(failure("the mail service gave no receipt", false)),
            Err(error) => {
                // Its code alone: what else it says is for us.
                let code = error.code().unwrap_or("no answer").to_owned();
                let is_final = FINAL.contains(&code.as_str());
                tracing::warn!(job.id = %job, error = format!("{:#}", anyhow::Error::new(error)), "SES took no mail");
                Err(failure(&format!("the mail service answered: {code}"), is_final))
            }
        }
    }
}

fn failure(message: &str, is_final: bool) -> Failure {
    Failure {
        message: message.to_owned(),
        is_final,
    }
}

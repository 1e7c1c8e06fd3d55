//! The notification queue's consumer: sends the notices that its messages name, by mail or by webhook.
//!
//! A message only names a job; the job's record says whether there is anything to do. So messages may be lost, come
//! twice or in any order. A worker that dies between sending and noting it leaves a job that is sent again when its
//! lease is over, with the same id, by which the receiver knows it.

mod mail;
mod webhook;

use anyhow::{Context, Result};
use futures::future::join_all;
use kernel::Time;
use lambda::{App, Consumer, Message};
use notifications::job::store;
use notifications::{Begin, Contents, Desk, Failure, Job, JobRef, JobState};

use mail::Mailer;

/// Sends notices.
#[derive(Debug)]
pub struct Notifier {
    desk: Desk,
    mailer: Mailer,
    outbound: outbound::Client,
}

impl Notifier {
    /// A notifier with the desk, mail service, product's name and allow list of the environment.
    pub fn start(_: &App) -> Result<Self> {
        let mut config = aws_sdk_sesv2::config::Builder::from(&lambda::aws_config()?);
        config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_SESV2").ok());
        let product = lambda::variable("PRODUCT_NAME")?;
        Ok(Self::new(
            Desk::from_env()?,
            config,
            &product,
            outbound::Client::from_env(),
        ))
    }

    /// A notifier that sends mails by a mail service, in the name of a product, and webhooks by `outbound`.
    pub fn new(desk: Desk, mails: aws_sdk_sesv2::config::Builder, product: &str, outbound: outbound::Client) -> Self {
        let mailer = Mailer::new(mails, desk.mail_from(), product);
        Self { desk, mailer, outbound }
    }

    async fn handle(&self, app: &App, message: &Message) -> Result<()> {
        let named: JobRef = serde_json::from_str(&message.body).context("a message that is none of ours")?;
        let Some(mut job) = store::find(&app.table, &named).await? else {
            // The record is the truth: without one there is nothing to send.
            tracing::warn!(job.id = %named.id, "there is no such job");
            return Ok(());
        };
        match job.begin(app.now()) {
            Begin::Over | Begin::NotDue => return Ok(()),
            Begin::GivenUp => {
                store::save(&app.table, &mut job).await?;
                return Ok(());
            }
            Begin::Try => {}
        }
        if !store::save(&app.table, &mut job).await? {
            // Another worker took it a moment ago.
            return Ok(());
        }
        match self.send(app.now(), &job).await {
            Ok(()) => job.succeed(app.now()),
            Err(failure) => {
                tracing::info!(job.id = %job.id, reason = failure.message, "a notice was not sent");
                let [random] = kernel::id::random();
                job.fail(app.now(), &failure, random);
            }
        }
        let is_mine = store::save(&app.table, &mut job).await?;
        if is_mine && job.state == JobState::Pending {
            self.desk
                .queue()
                .nudge_at(app.now(), job.due_at, &job.reference())
                .await;
        }
        Ok(())
    }

    async fn send(&self, now: Time, job: &Job) -> Result<(), Failure> {
        match self.desk.open(job) {
            Some(Contents::Email(mail)) => self.mailer.send(job.id, &mail).await,
            Some(Contents::Webhook(webhook)) => webhook::send(&self.outbound, now, job.id, &webhook).await,
            None => Err(Failure {
                message: "its contents cannot be opened".to_owned(),
                is_final: true,
            }),
        }
    }
}

impl Consumer for Notifier {
    /// All at once: a target that does not answer holds up nobody else's notice.
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        let handled = messages.into_iter().map(async |message| {
            let error = self.handle(app, &message).await.err()?;
            tracing::error!(message.id, error = format!("{error:#}"), "a message was not handled");
            Some(message.id)
        });
        join_all(handled).await.into_iter().flatten().collect()
    }
}

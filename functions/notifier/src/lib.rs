//! The notification queue's consumer: sends the notices that its messages name, by mail or by webhook.
//!
//! A message only names a job; the job's record says whether there is anything to do. So messages may be lost, come
//! twice or in any order. A worker that dies between sending and noting it leaves a job that is sent again when its
//! lease is over, with the same id, by which the receiver knows it.

mod mail;
mod webhook;

use anyhow::{Context, Result};
use kernel::Time;
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::job::store;
use notifications::{Begin, Contents, Desk, Failure, Job, JobRef, JobState};
use outbound::AllowList;

use mail::Mailer;

/// The function.
pub const FUNCTION: Function = Function::queue::<Notifier>("notifier");

/// Sends notices.
struct Notifier {
    desk: Desk,
    mailer: Mailer,
    outbound: outbound::Client,
}

impl Start for Notifier {
    async fn start(env: &Env, app: App) -> Result<Self> {
        let mut mails = aws_sdk_sesv2::config::Builder::from(&env.aws_config()?);
        mails.set_endpoint_url(env.aws_endpoint("SESV2"));
        let desk = Desk::of(env, &app)?;
        let allow = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        Ok(Self {
            mailer: Mailer::new(mails, desk.mail_from(), env.variable("PRODUCT_NAME")?),
            outbound: outbound::Client::new(allow),
            desk,
        })
    }
}

impl Notifier {
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
        each(messages, |message| async move { Ok(self.handle(app, &message).await?) }).await
    }
}

//! The consumer of mails that are to be sent.
//!
//! A message only names a job; the job's record says whether there is anything to do. A worker that dies between sending
//! and noting it leaves a job that is sent again when its lease is over, with the same id, by which the receiver knows it.

mod mail;

use anyhow::Result;
use jobs::{Outcome, Running, Work};
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::MailNotice;

use mail::Mailer;

/// The function.
pub const FUNCTION: Function = Function::queue::<Notifier>("notifier");

/// Sends mails.
struct Notifier(Mailer);

impl Start for Notifier {
    async fn start(env: &Env, _: App) -> Result<Self> {
        let mut config = aws_sdk_sesv2::config::Builder::from(&env.aws_config()?);
        config.set_endpoint_url(env.aws_endpoint("SESV2"));
        let (from, product) = (env.variable("MAIL_FROM")?, env.variable("PRODUCT_NAME")?);
        Ok(Self(Mailer::new(config, from, product)))
    }
}

impl Work<MailNotice> for Notifier {
    async fn work(&self, _: &App, running: &Running<'_, MailNotice>) -> Outcome {
        self.0.send(running.id(), &running.job.mail).await
    }
}

impl Consumer for Notifier {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(
            messages,
            |message| async move { jobs::work(app, self, &message.body).await },
        )
        .await
    }
}

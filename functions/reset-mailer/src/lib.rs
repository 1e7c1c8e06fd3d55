//! The reset queue's consumer: mails a token to who forgot their password, if anybody has the address.
//!
//! It is a function of its own so that who asks cannot tell from the answer, nor from its time, whether the address is
//! known. A message that comes again gets no second mail.

use identity::recovery;
use lambda::{App, Consumer, Message};
use notifications::Desk;

/// Mails tokens.
#[derive(Debug)]
pub struct ResetMailer(Desk);

impl ResetMailer {
    /// A mailer with the desk of the environment.
    pub fn start(_: &App) -> anyhow::Result<Self> {
        Ok(Self::new(Desk::from_env()?))
    }

    /// A mailer that writes its mails at this desk.
    pub fn new(desk: Desk) -> Self {
        Self(desk)
    }
}

impl Consumer for ResetMailer {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        let mut failed = Vec::new();
        for message in messages {
            if let Err(error) = recovery::mail_reset(app, &self.0, &message.body).await {
                // The text of the error names no address; the message, which does, is not logged.
                tracing::error!(error = %error, message.id = message.id, "a reset request was not handled");
                failed.push(message.id);
            }
        }
        failed
    }
}

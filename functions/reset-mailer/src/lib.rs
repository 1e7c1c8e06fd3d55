//! The reset queue's consumer: mails a token to who forgot their password, if anybody has the address.
//!
//! It is a function of its own so that who asks cannot tell from the answer, nor from its time, whether the address is
//! known. A message that comes again gets no second mail.

use identity::recovery;
use lambda::{App, Consumer, Env, Function, Message, Start};
use notifications::Desk;

/// The function.
pub const FUNCTION: Function = Function::queue::<ResetMailer>("reset-mailer");

/// Mails tokens.
struct ResetMailer(Desk);

impl Start for ResetMailer {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, &app)?))
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

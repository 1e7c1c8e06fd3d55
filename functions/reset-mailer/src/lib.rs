//! The reset queue's consumer: mails a token to who forgot their password, if anybody has the address.
//!
//! It is a function of its own so that who asks cannot tell from the answer, nor from its time, whether the address is
//! known. A message that comes again gets no second mail.

use identity::recovery;
use lambda::{App, Consumer, Env, Function, Message, Start, each};
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
        let mail = |message: Message| async move { recovery::mail_reset(app, &self.0, &message.body).await };
        each(messages, mail).await
    }
}

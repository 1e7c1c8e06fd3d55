//! The consumer of what SES tells of mails: bounces and complaints, of which an address gets less mail or none.
//!
//! They come at least once and in any order, which changes nothing. Nothing that anybody can call leads here.

use anyhow::{Result, anyhow};
use lambda::{App, Consumer, Env, Function, Message, Start, each};
use notifications::Suppression;
use notifications::suppression::Feedback;

/// The function.
pub const FUNCTION: Function = Function::queue::<MailFeedback>("mail-feedback");

/// Takes down what became of mails.
struct MailFeedback {
    /// What our mails are sent by.
    configuration_set: String,
}

impl Start for MailFeedback {
    async fn start(env: &Env, _: App) -> Result<Self> {
        Ok(Self {
            configuration_set: env.variable("MAIL_CONFIGURATION_SET")?.to_owned(),
        })
    }
}

impl MailFeedback {
    async fn hear(&self, app: &App, text: &str) -> kernel::Result<()> {
        // Its text may quote an address; where it stands says enough.
        let feedback = Feedback::parse(text, app.now())
            .map_err(|error| anyhow!("no event of SES: line {}, column {}", error.line(), error.column()))?;
        // The bus has the events of whatever else sends from the account.
        if feedback
            .configuration_set
            .is_some_and(|set| set != self.configuration_set)
        {
            return Ok(());
        }
        for (address, news) in &feedback.news {
            Suppression::heard(app, address, news).await?;
            tracing::info!(mail.fate = ?news.fate, mail.at = %news.at, "a mail came back, or was reported");
        }
        Ok(())
    }
}

impl Consumer for MailFeedback {
    async fn consume(&self, app: &App, messages: Vec<Message>) -> Vec<String> {
        each(messages, |message| async move { self.hear(app, &message.body).await }).await
    }
}

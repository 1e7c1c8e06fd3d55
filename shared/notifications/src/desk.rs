//! Where notices are made: what is handed to the functions that cause them.

use std::sync::Arc;

use app::{App, Env, Nudge, Queues, Sealing};
use jobs::{Later, Owner};
use kernel::{Check, JobId, Result, Time};
use serde_json::{Value, json};
use table::Write;

use crate::mails::Mail;
use crate::notice::{MailNotice, WebhookNotice};
use crate::webhook;

/// Makes notices. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queues: Queues,
    sealing: Sealing,
    /// The address that sends.
    mail_from: String,
    /// Where the console is, such as `https://console.example.com`.
    console_url: String,
    /// Whether who has others mailed must have proved their own address.
    needs_proof: bool,
}

/// A notice that is not stored yet, and what seals it.
#[derive(Clone, Debug)]
pub struct Job {
    later: Later,
    sealing: Sealing,
}

impl Job {
    /// Its id; receivers know a repeat by it.
    pub fn id(&self) -> JobId {
        self.later.id()
    }

    /// What stores it, in the transaction of its cause.
    pub fn write(&self) -> Result<Write> {
        self.later.write(&self.sealing)
    }

    /// What tells its queue, for [`Desk::nudge`].
    pub fn reference(&self) -> Option<Nudge> {
        self.later.nudge()
    }

    /// The job.
    pub fn later(&self) -> &Later {
        &self.later
    }
}

impl Desk {
    /// The desk of `MAIL_FROM`, `CONSOLE_URL` and `PROOF_BEFORE_MAIL`, with the app's queues and keys.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            queues: app.queues.clone(),
            sealing: app.sealing.clone(),
            mail_from: env.variable("MAIL_FROM")?.to_owned(),
            console_url: env.variable("CONSOLE_URL")?.trim_end_matches('/').to_owned(),
            needs_proof: env.optional("PROOF_BEFORE_MAIL") != Some("false"),
        })))
    }

    /// A mail to be sent. Store [`Job::write`] in the transaction of the cause, then call [`Desk::nudge`].
    ///
    /// `cause` is an id or a word: letters, digits and `_`.
    pub fn mail(&self, now: Time, owner: Owner, cause: &str, mail: Mail) -> Result<Job> {
        self.mail_of(now, owner, cause, mail, None)
    }

    /// A mail of a cause that was at `at` and that may be told more than once: the address gets one of it. The condition of
    /// [`Job::write`] does not hold for another.
    pub fn mail_once(&self, now: Time, owner: Owner, cause: &str, at: Time, mail: Mail) -> Result<Job> {
        self.mail_of(now, owner, cause, mail, Some(at))
    }

    fn mail_of(&self, now: Time, owner: Owner, cause: &str, mail: Mail, once_of: Option<Time>) -> Result<Job> {
        let mut check = Check::default();
        check.email("email", &mail.to);
        check.done()?;
        let notice = MailNotice {
            owner,
            cause: cause.to_owned(),
            mail,
            once_of,
        };
        Ok(self.job(Later::of(now, &notice, now)?))
    }

    /// A webhook call to be made, signed by the Standard Webhooks' scheme `v1`: posts `{"type":event,"timestamp":now,
    /// "data":data}`. `secret` is one of [`webhook::new_secret`]. Whether the URL may be called is looked at when it is
    /// called; `outbound::check` tells early.
    #[expect(clippy::too_many_arguments, reason = "each is one part of a webhook call")]
    pub fn webhook(
        &self,
        now: Time,
        owner: Owner,
        cause: &str,
        url: &str,
        secret: &str,
        event: &str,
        data: Value,
    ) -> Result<Job> {
        webhook::key(secret)?;
        let mut body = json!({"type": event, "timestamp": now});
        body["data"] = data;
        let notice = WebhookNotice {
            owner,
            cause: cause.to_owned(),
            url: url.to_owned(),
            secret: secret.to_owned(),
            body: body.to_string(),
        };
        Ok(self.job(Later::of(now, &notice, now)?))
    }

    fn job(&self, later: Later) -> Job {
        let sealing = self.0.sealing.clone();
        Job { later, sealing }
    }

    /// A page of the console, for mails: `path` begins with `/`.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.0.console_url)
    }

    /// A page of the console with a token, for mails. The token stands in the fragment, which browsers send to nobody.
    pub fn link(&self, path: &str, token: &str) -> String {
        format!("{}#token={token}", self.page(path))
    }

    /// Whether who has others mailed must have proved their own address first.
    pub fn needs_proof(&self) -> bool {
        self.0.needs_proof
    }

    /// The address that sends mails.
    pub fn mail_from(&self) -> &str {
        &self.0.mail_from
    }

    /// Seals secrets that are kept for notices to come, such as an alert's webhook secret.
    pub fn sealing(&self) -> &Sealing {
        &self.0.sealing
    }

    /// Tells the workers of jobs that were committed. Best effort: the sweeper finds what a crash left.
    pub async fn nudge(&self, jobs: &[Option<Nudge>]) {
        self.0.queues.nudge_each(jobs.iter().flatten().cloned()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mails::Letter;
    use app::Clock;
    use kernel::{Error, OrgId};

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn desk() -> Desk {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "tests"),
            ("AWS_SECRET_ACCESS_KEY", "tests"),
            ("AWS_REGION", "us-east-1"),
            ("MAIL_FROM", "no-reply@example.com"),
            ("CONSOLE_URL", "https://console.example.com/"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = Env::of(variables.into(), Clock::at(NOW));
        let keys = format!("1:{:064x}", 1).parse().unwrap();
        let app = App {
            sealing: Sealing::with(Some(Arc::new(keys))),
            ..tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
                .block_on(env.app())
                .unwrap()
        };
        Desk::of(&env, &app).unwrap()
    }

    fn mail(to: &str, cause: &str) -> Result<Job> {
        let letter = Letter::VerifyEmail {
            name: "Ada".into(),
            link: "https://x".into(),
        };
        let owner = Owner::Org(OrgId::new(NOW));
        desk().mail(NOW, owner, cause, Mail::to(to, letter))
    }

    #[test]
    fn no_address_adds_a_header() {
        for bad in ["ada@example.com\r\nBcc: eve@example.com", "a@b.co, c@d.co", "nobody"] {
            assert!(matches!(mail(bad, "verify"), Err(Error::Invalid(_))), "{bad}");
        }
    }

    #[test]
    fn a_cause_cannot_name_another_partition() {
        for bad in ["", "a#b", "a b"] {
            assert!(matches!(mail("ada@example.com", bad), Err(Error::Internal(_))), "{bad}");
        }
    }

    #[test]
    fn links_lead_into_the_console() {
        assert_eq!(
            desk().link("/reset-password", "abc"),
            "https://console.example.com/reset-password#token=abc"
        );
    }
}

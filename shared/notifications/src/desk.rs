//! Where notices are made: what is handed to the functions that cause them.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use app::{App, Env, Sealing};
use kernel::{Check, Error, JobId, Result, Time};
use serde_json::{Value, json};

use crate::contents::{Contents, Webhook};
use crate::job::{Channel, Job, JobRef, Owner};
use crate::mails::Mail;
use crate::queue::NoticeQueue;
use crate::webhook;

/// What mails need to know of the deployment.
#[derive(Debug)]
struct MailSettings {
    /// The address that sends.
    from: String,
    /// Where the console is, such as `https://console.example.com`.
    console_url: String,
}

/// Makes notices. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: NoticeQueue,
    sealing: Sealing,
    settings: MailSettings,
}

impl Desk {
    /// The desk of `MAIL_FROM` and `CONSOLE_URL`, with the app's keys.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        let settings = MailSettings {
            from: env.variable("MAIL_FROM")?.to_owned(),
            console_url: env.variable("CONSOLE_URL")?.to_owned(),
        };
        Ok(Self::over(NoticeQueue::of(&app.queues), app.sealing.clone(), settings))
    }

    fn over(queue: NoticeQueue, sealing: Sealing, mut settings: MailSettings) -> Self {
        settings
            .console_url
            .truncate(settings.console_url.trim_end_matches('/').len());
        Self(Arc::new(Inner {
            queue,
            sealing,
            settings,
        }))
    }

    /// A mail to be sent. Its contents are sealed at rest, for they may hold a token, and erased once the job is over.
    /// Store [`Job::write`] in the transaction of the cause, then call [`Desk::nudge`].
    ///
    /// `cause` is an id or a word: letters, digits and `_`.
    pub fn mail(&self, now: Time, owner: Owner, cause: &str, mail: Mail) -> Result<Job> {
        let mut check = Check::default();
        check.email("email", &mail.to);
        check.done()?;
        let to = mail.to.clone();
        self.job(now, owner, cause, Channel::Email, &to, &Contents::Email(mail))
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
        let contents = Contents::Webhook(Webhook {
            url: url.to_owned(),
            secret: secret.to_owned(),
            body: body.to_string(),
        });
        self.job(now, owner, cause, Channel::Webhook, url, &contents)
    }

    fn job(
        &self,
        now: Time,
        owner: Owner,
        cause: &str,
        channel: Channel,
        target: &str,
        contents: &Contents,
    ) -> Result<Job> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if cause.is_empty() || !cause.chars().all(plain) {
            return Err(Error::Internal(anyhow!("{cause:?} cannot be the cause of a notice")));
        }
        let mut job = Job::new(now, owner, cause, channel, target);
        let bytes = serde_json::to_vec(contents).context("a notice")?;
        job.contents = Some(self.0.sealing.seal(&context(job.id), &bytes)?);
        Ok(job)
    }

    /// What a job says; nothing if it is over, or was sealed with a key that is gone.
    pub fn open(&self, job: &Job) -> Option<Contents> {
        let bytes = self.0.sealing.open(&context(job.id), job.contents.as_deref()?).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// A page of the console, for mails: `path` begins with `/`.
    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.0.settings.console_url)
    }

    /// A page of the console with a token, for mails. The token stands in the fragment, which browsers send to nobody.
    pub fn link(&self, path: &str, token: &str) -> String {
        format!("{}#token={token}", self.page(path))
    }

    /// The address that sends mails.
    pub fn mail_from(&self) -> &str {
        &self.0.settings.from
    }

    /// Seals secrets that are kept for notices to come, such as an alert's webhook secret.
    pub fn sealing(&self) -> &Sealing {
        &self.0.sealing
    }

    /// The queue of the notifier.
    pub fn queue(&self) -> &NoticeQueue {
        &self.0.queue
    }

    /// Tells the notifier of jobs that were committed. Best effort: the sweeper finds what a crash left.
    pub async fn nudge(&self, jobs: &[JobRef]) {
        self.0.queue.nudge(jobs).await;
    }
}

/// What a job's contents are bound to.
fn context(job: JobId) -> String {
    format!("NOTICE#{job}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mails::Letter;
    use app::Clock;
    use kernel::OrgId;

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
    fn what_a_job_says_is_sealed_for_that_job() {
        let job = mail("ada@example.com", "verify").unwrap();
        assert!(matches!(desk().open(&job), Some(Contents::Email(mail)) if mail.to == "ada@example.com"));
        let sealed = job.contents.clone().unwrap();
        assert!(!sealed.windows(3).any(|part| part == b"Ada"));
        let mut other = mail("ada@example.com", "verify").unwrap();
        other.contents = Some(sealed);
        assert!(desk().open(&other).is_none());
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

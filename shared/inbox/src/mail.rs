//! What becomes of a mail that is about to be sent, by what its recipient wants.

use std::time::Duration;

use app::{App, Env};
use commit::{Commit, NotDone, again};
use identity::Member;
use identity::member::Addressee;
use jobs::{Owner, Running};
use kernel::policy::ReadMembers;
use kernel::{OrgId, Result, Scope, UserId};
use notifications::mails::Line;
use notifications::{Letter, Mail, MailNotice, Topic};
use table::Write;

use crate::digest::{Digest, Waiting};
use crate::mark::Mark;
use crate::preferences::{Preferences, Way, When};
use crate::unsubscribe::Link;

/// What becomes of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is sent, as it is here.
    Sent(Box<Mail>),
    /// It is quiet where its recipient is: it is asked about again after so long.
    Later(Duration),
    /// It is not sent by itself, and why.
    Not(&'static str),
}

/// Knows what becomes of mails. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Fates {
    /// Where we are reached, for links.
    public_url: String,
    product: Line,
}

impl Fates {
    /// Those of `PUBLIC_URL` and `PRODUCT_NAME`.
    pub fn of(env: &Env) -> anyhow::Result<Self> {
        Ok(Self {
            public_url: env.variable("PUBLIC_URL")?.to_owned(),
            product: env.variable("PRODUCT_NAME")?.into(),
        })
    }

    /// What becomes of the mail of a job. One that is about nothing, or goes to nobody in the organization that sends it, is sent;
    /// not to who was a member when it was made, or began to wait, and has left. One that is to wait for a digest does so when this
    /// returns.
    pub async fn fate(&self, app: &App, running: &Running<'_, MailNotice>) -> Result<Fate> {
        let MailNotice { owner, mail, .. } = &running.job;
        let sent = || Ok(Fate::Sent(Box::new(mail.clone())));
        let (Some(topic), Owner::Org(org)) = (mail.topic, *owner) else {
            return sent();
        };
        let (user, is_known) = match reader(app, org, mail).await? {
            Addressee::Member(user) => (user, true),
            Addressee::Other(user) => (user, Preferences::are_set(&app.table, org, user).await?),
            Addressee::Nobody => return sent(),
        };
        // An address that is mailed to without being a member's; that of somebody who wanted it otherwise was one.
        if !is_known {
            return sent();
        }
        let members = Scope::<ReadMembers>::system(org);
        if !Member::is_active(&app.table, &members, user).await? {
            return Ok(Fate::Not("its recipient has left the organization, or may not log in"));
        }
        let mark = Mark::of(org, user, &running.id(), app.now());
        if mark.is_there(&app.table).await? {
            return Ok(Fate::Not("it waits for its recipient's digest"));
        }
        let preferences = Preferences::find(&app.table, org, user).await?;
        let is_digest = matches!(mail.letter, Letter::Digest { .. });
        let now = app.now();
        match preferences.when(topic, Way::Email, now) {
            When::Never => Ok(Fate::Not("its recipient wants no mail about this")),
            When::Digest(_) if !is_digest => {
                self.wait(app, running, (org, user, topic)).await?;
                Ok(Fate::Not("it waits for its recipient's digest"))
            }
            // A digest has waited already, but not for an hour that is quiet since.
            When::Now | When::After(_) | When::Digest(_) => match preferences.end_of_quiet(topic, Way::Email, now) {
                Some(end) => Ok(Fate::Later(wait(now.millis(), end.millis()))),
                None => Ok(Fate::Sent(Box::new(self.with_link(
                    app,
                    org,
                    user,
                    topic,
                    mail.clone(),
                )))),
            },
        }
    }

    /// The mail with where it is turned off, if it can be.
    fn with_link(&self, app: &App, org: OrgId, user: UserId, topic: Topic, mail: Mail) -> Mail {
        let link = Link {
            org,
            user,
            topic,
            made_at: app.now(),
        };
        let keys = app.keys.as_deref().filter(|_| mail.is_optional());
        match keys.and_then(|keys| link.url(keys, &self.public_url)) {
            Some(url) => mail.unsubscribe_at(url),
            None => mail,
        }
    }

    /// Has a mail wait for a digest: once, however often its job is done.
    async fn wait(
        &self,
        app: &App,
        running: &Running<'_, MailNotice>,
        (org, user, topic): (OrgId, UserId, Topic),
    ) -> Result<()> {
        let news = running.job.mail.news(&self.product, running.id().time())?;
        let mark = Mark::of(org, user, &running.id(), app.now());
        again(|| async {
            let now = app.now();
            let preferences = Preferences::find(&app.table, org, user).await?;
            let due = match preferences.when(topic, Way::Email, now) {
                When::Digest(due) => due,
                // It was changed just now: the digest is none, and due.
                _ => now,
            };
            let mut waiting = Waiting::find(&app.table, org, user, topic).await?;
            let job = waiting.add(now, due, news.clone());
            let mut commit = Commit::of(app, running.origin())
                .write("mark", Write::create(&mark)?)
                .write("digest", Write::save(&waiting)?);
            if let Some(due) = job {
                commit = commit.later(&Digest::of(&waiting, due), due)?;
            }
            told_once(commit.await)
        })
        .await
    }
}

/// Nothing is to be done for whoever was told already.
pub(crate) fn told_once(done: Result<(), NotDone>) -> Result<(), NotDone> {
    match done {
        Err(failed) if failed.failed("mark") => Ok(()),
        done => done,
    }
}

fn wait(now: i64, then: i64) -> Duration {
    Duration::from_millis(u64::try_from(then - now).unwrap_or(0))
}

/// Whom a mail goes to: the member that it names, or who has its address.
async fn reader(app: &App, org: OrgId, mail: &Mail) -> Result<Addressee> {
    if let Some(user) = mail.reader {
        return Ok(Addressee::Member(user));
    }
    let scope = Scope::<ReadMembers>::system(org);
    Member::with_address(&app.table, &scope, &mail.to).await
}

//! Digests: what waits to be mailed together, and the job that mails it when it is due.

mod store;

use std::time::Duration;

use anyhow::anyhow;
use app::{App, Env};
use commit::{Commit, again};
use identity::{Member, Org};
use jobs::{Job, Outcome, Owner, Place, Queue, Running, Work};
use kernel::policy::{ReadMembers, ReadOrg};
use kernel::{Error, OrgId, Result, Scope, Time, UserId};
use notifications::mails::News;
use notifications::{Desk, Letter, Mail, Topic};
use serde::{Deserialize, Serialize};
use table::Write;

use crate::preferences::{Cadence, Preferences};

/// A digest shows so many news; of the others it says how many there are.
const SHOWN: usize = 50;
/// One that is overdue by this much was lost by its job, and is given another.
const LOST: i64 = Time::HOUR;
/// One that cannot be made is tried again after so long …
const PAUSE: Duration = Duration::from_mins(5);
/// … for so long, and then as often as any job.
const PATIENCE: i64 = Time::DAY;

/// What waits to be mailed to one person about one topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Waiting {
    pub(crate) org: OrgId,
    pub(crate) user: UserId,
    pub(crate) topic: Topic,
    /// When it is due; nothing while nothing waits.
    pub(crate) due_at: Option<Time>,
    /// The first news that wait.
    news: Vec<News>,
    /// How many wait besides.
    more: u64,
    #[serde(default)]
    version: u64,
}

impl Waiting {
    fn of(org: OrgId, user: UserId, topic: Topic) -> Self {
        Self {
            org,
            user,
            topic,
            due_at: None,
            news: Vec::new(),
            more: 0,
            version: 0,
        }
    }

    /// Adds something that is to be mailed at `due`. Says when that is, if nobody was told to mail it then: what waits already
    /// waits no longer than before, and takes it along.
    pub(crate) fn add(&mut self, now: Time, due: Time, news: News) -> Option<Time> {
        if self.news.len() < SHOWN {
            self.news.push(news);
        } else {
            self.more = self.more.saturating_add(1);
        }
        let due = match self.due_at {
            Some(waits) if waits.plus_millis(LOST) > now => return None,
            Some(_) => now,
            None => due,
        };
        self.due_at = Some(due);
        Some(due)
    }

    /// Waits until then instead, if anything does. Says whether that is another time.
    pub(crate) fn wait_until(&mut self, due: Time) -> bool {
        self.due_at.is_some_and(|old| old != due) && self.due_at.replace(due).is_some()
    }

    /// Takes out what was due then; nothing if that is not so, or not any more.
    fn take(&mut self, due: Time) -> Option<(Vec<News>, u64)> {
        if self.due_at != Some(due) {
            return None;
        }
        self.due_at = None;
        Some((std::mem::take(&mut self.news), std::mem::take(&mut self.more)))
    }
}

/// That a digest is mailed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    org: OrgId,
    user: UserId,
    topic: Topic,
    due: Time,
}

impl Digest {
    pub(crate) fn of(waiting: &Waiting, due: Time) -> Self {
        Self {
            org: waiting.org,
            user: waiting.user,
            topic: waiting.topic,
            due,
        }
    }
}

impl Job for Digest {
    const KIND: &'static str = "digest";
    const QUEUE: &'static Queue = &jobs::queue::NOTIFICATIONS;

    fn place(&self) -> Place {
        Place::of(Owner::Org(self.org), cause(self.topic))
    }

    fn label(&self) -> Option<String> {
        Some(self.user.to_string())
    }
}

/// What digests about a topic are caused by.
fn cause(topic: Topic) -> String {
    format!("digest_{topic}")
}

/// Mails digests.
#[derive(Clone, Debug)]
pub struct Digests(Desk);

impl Digests {
    /// Digests that go out by the desk of the environment.
    pub fn of(env: &Env, app: &App) -> anyhow::Result<Self> {
        Ok(Self(Desk::of(env, app)?))
    }

    /// Takes out what waits and makes the mail, together; or drops it if its reader does not want it any more, or has left.
    async fn mail(&self, app: &App, running: &Running<'_, Digest>) -> Result<()> {
        let Digest { org, user, topic, due } = running.job;
        let preferences = Preferences::find(&app.table, org, user).await?;
        let wanted = preferences.topics.of(topic).email != Cadence::Off;
        let reader = if wanted { reader(app, org, user).await? } else { None };
        again(|| async {
            let mut waiting = Waiting::find(&app.table, org, user, topic).await?;
            let Some((news, more)) = waiting.take(due) else {
                return Ok(());
            };
            let mut commit = Commit::of(app, running.origin()).write("digest", Write::save(&waiting)?);
            if let Some((address, name, organization)) = reader.as_ref().filter(|_| !news.is_empty()) {
                let letter = Letter::Digest {
                    name: name.as_str().into(),
                    organization: organization.as_str().into(),
                    topic,
                    news,
                    more,
                    link: self.0.page("/notifications").into(),
                };
                let mail = Mail::to(address, letter).about(topic).for_member(user);
                let mail = self.0.mail(app.now(), Owner::Org(org), &cause(topic), mail)?;
                commit = commit.due(mail.later())?;
            }
            commit.await
        })
        .await
    }
}

/// The address of a member and what they and their organization are called; nothing if they have left, or it was deleted.
async fn reader(app: &App, org: OrgId, user: UserId) -> Result<Option<(String, String, String)>> {
    let found = async {
        let organization = Org::load(&app.table, &Scope::<ReadOrg>::system(org)).await?;
        let member = Member::load(&app.table, &Scope::<ReadMembers>::system(org), user).await?;
        let member = member.view(&app.table).await?;
        Ok((member.email, member.name, organization.name))
    };
    match found.await {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Work<Digest> for Digests {
    async fn work(&self, app: &App, running: &Running<'_, Digest>) -> Outcome {
        match self.mail(app, running).await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                let error = format!("{:#}", anyhow!(error));
                tracing::error!(job.id = %running.id(), error, "a digest was not made");
                if app.now() < running.job.due.plus_millis(PATIENCE) {
                    return Outcome::NotNow { after: PAUSE };
                }
                Outcome::again("the digest could not be made")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_millis(1_800_000_000_000);

    fn news(title: &str) -> News {
        News::of(title, "", NOW)
    }

    fn waiting() -> Waiting {
        Waiting::of(OrgId::from_bits(1), UserId::from_bits(2), Topic::Alerts)
    }

    #[test]
    fn what_waits_is_taken_out_once_and_when_it_is_due() {
        let (mut waiting, due) = (waiting(), NOW.plus_millis(Time::HOUR));
        assert_eq!(waiting.add(NOW, due, news("a")), Some(due));
        assert_eq!(waiting.add(NOW, due.plus_millis(Time::HOUR), news("b")), None);
        assert_eq!(waiting.take(NOW), None);
        let (found, more) = waiting.take(due).unwrap();
        assert_eq!((found.len(), more), (2, 0));
        assert_eq!(waiting.take(due), None);
        // What happens while it is late goes along; what its job lost is given another.
        assert_eq!(waiting.add(NOW, due, news("c")), Some(due));
        let late = due.plus_millis(LOST - 1);
        assert_eq!(waiting.add(late, late.plus_millis(Time::DAY), news("d")), None);
        let lost = due.plus_millis(LOST);
        assert_eq!(waiting.add(lost, lost.plus_millis(Time::DAY), news("e")), Some(lost));
        assert_eq!(waiting.take(lost).unwrap().0.len(), 3);
    }

    #[test]
    fn a_digest_has_a_bound_and_says_what_is_beyond() {
        let mut waiting = waiting();
        for _ in 0..SHOWN + 7 {
            waiting.add(NOW, NOW, news("a"));
        }
        let (found, more) = waiting.take(NOW).unwrap();
        assert_eq!((found.len(), more), (SHOWN, 7));
    }

    #[test]
    fn only_what_waits_is_moved() {
        let (mut waiting, later) = (waiting(), NOW.plus_millis(1));
        assert!(!waiting.wait_until(NOW));
        waiting.add(NOW, NOW, news("a"));
        assert!(!waiting.wait_until(NOW) && waiting.wait_until(later));
        assert_eq!(waiting.take(NOW), None);
        assert!(waiting.take(later).is_some());
    }
}

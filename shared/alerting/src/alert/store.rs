//! An alert:               pk ORG#<org>#ALERTS       sk <alert>
//! While it is enabled:    gsi1pk ALERTS#<shard>     gsi1sk <project>#<alert>
//! A project's alerts:     pk PRJ#<project>#ALERTS   sk ROSTER      (their ids; bounds them, and lists them)
//! A turnstile:            pk ORG#<org>#ALERTQUOTA   sk TURNSTILE   (written with each one that is enabled, so that two meet)

use std::collections::BTreeSet;

use app::App;
use commit::{Commit, NotDone, Reply, again};
use identity::quota::{Quota, Quotas};
use identity::{Project, postage};
use kernel::policy::{ManageAlerts, ReadAlerts};
use kernel::{AlertId, Error, OrgId, ProjectId, Result, Scope};
use metering::plan::FREE;
use notifications::Channel;
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change, Noted, Subject};

use super::{Alert, AlertPatch, Settings, SignedAlertView};
use crate::facts::Turn;
use crate::incident::Incident;
use crate::notice::{Ending, Notices, Reason};
use crate::target::Secret;

/// A project has at most this many alerts.
const MOST_ALERTS: u32 = FREE.alerts_per_project;
/// The enabled alerts stand in this many partitions of the index, all of a project's in one.
pub const SHARDS: u8 = 16;
/// So many of them are read at once: about 400 KiB.
const PAGE: u16 = 500;
/// Where a page of a project's alerts ended.
const AFTER: &str = "after";

impl Record for Alert {
    const KIND: &'static str = "alert";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        let place = || Key::of(shard(shard_of(self.project)), format!("{}#{}", self.project, self.id));
        self.settings.enabled.then(place)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, id: AlertId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#ALERTS")
}

fn shard(number: u8) -> String {
    format!("ALERTS#{number:02}")
}

fn shard_of(project: ProjectId) -> u8 {
    // The last bits of an id are random.
    u8::try_from(project.bits() % u128::from(SHARDS)).unwrap_or(0)
}

/// An alert that is to be looked at: no more of it than which and whose.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Due {
    /// Its id.
    pub id: AlertId,
    /// Whose it is.
    pub org: OrgId,
    /// The project whose events it looks at.
    pub project: ProjectId,
}

impl Record for Due {
    const KIND: &'static str = Alert::KIND;
    const TABLE: TableName = Alert::TABLE;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }
}

impl Due {
    /// Reads one page of a shard's enabled alerts, those of one project after another.
    pub async fn page(table: &Table, number: u8, after: Option<Position>) -> Result<Page<Self>> {
        table.query(Query::of(shard(number), PAGE).index1().after(after)).await
    }
}

/// Which alerts a project has.
#[derive(Debug, Serialize, Deserialize)]
struct Roster {
    project: ProjectId,
    #[serde(default)]
    alerts: BTreeSet<AlertId>,
    #[serde(default)]
    version: u64,
}

impl Record for Roster {
    const KIND: &'static str = "alertRoster";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        roster_key(self.project)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn roster_key(project: ProjectId) -> Key {
    Key::of(format!("PRJ#{project}#ALERTS"), "ROSTER")
}

impl Roster {
    async fn load(table: &Table, project: ProjectId) -> Result<Self> {
        let empty = || Self {
            project,
            alerts: BTreeSet::new(),
            version: 0,
        };
        Ok(table.get(&roster_key(project)).await?.unwrap_or_else(empty))
    }
}

/// What the audit trail says of an alert: neither its secret nor the whole URL of its webhook nor, for it holds texts and whole
/// numbers only, a fraction.
fn noted(alert: &Alert) -> Noted {
    let mut settings = json!(alert.settings);
    settings["threshold"] = json!(alert.settings.threshold.to_string());
    settings["projectId"] = json!(alert.project);
    settings["target"] = json!(alert.settings.channel.shown(&alert.settings.target));
    match alert.settings.channel {
        Channel::Email => Noted::about(Subject::address(&alert.settings.target), settings, &["target"]),
        Channel::Webhook => settings.into(),
    }
}

impl Alert {
    /// Makes an alert of a project and notes it; the secret of its webhook, if it has one, is shown once. 409
    /// `too_many_alerts` when the project has 200, `quota_reached` when as many of the organization are enabled as may be.
    pub async fn create(
        app: &App,
        scope: &Scope<ManageAlerts>,
        project: &Project,
        mut settings: Settings,
        notices: &Notices,
    ) -> Result<SignedAlertView> {
        let org = scope.org_of(project.id)?;
        settings.check(notices.allowed())?;
        may_mail(&app.table, scope, org, notices, &settings).await?;
        let mut alert = Self::new(app.now(), org, project.id, scope.user()?, settings);
        let secret = notices.sign(&mut alert)?;
        // Whoever has just set it sees it as it is called; what is the project's, nobody does.
        let target = alert.settings.target.clone();
        let theirs = project
            .alert_defaults
            .as_ref()
            .and_then(|defaults| defaults.target.as_ref())
            != Some(&target);
        notices.conceal(&mut alert)?;
        let change = Change::by(scope.actor(), "alert.created", "alert", alert.id).to(noted(&alert));
        let mut view = SignedAlertView::of(alert.clone(), secret);
        if theirs {
            view.alert.target = target;
        }
        again(|| async {
            let mut roster = Roster::load(&app.table, project.id).await?;
            if roster.alerts.len() >= MOST_ALERTS as usize {
                let detail = format!("a project has at most {MOST_ALERTS} alerts; delete one first");
                return Err(Error::refused("too_many_alerts", detail).into());
            }
            roster.alerts.insert(alert.id);
            Commit::by(app, scope)
                .write("alert", Write::create(&alert)?)
                .write_all("quota", one_more(&app.table, scope, &alert).await?)
                .write("roster", Write::save(&roster)?)
                .note(Chain::Org(org), change.clone())
                .reply(Reply::created(&view)?)
                .await
        })
        .await?;
        Ok(view)
    }

    /// Reads an alert of the organization; 404 if it has none with this id.
    pub async fn load(table: &Table, scope: &Scope<ReadAlerts>, id: AlertId) -> Result<Self> {
        let found = table.get(&key(scope.org(), id)).await?;
        found.ok_or(Error::NotFound("alert"))
    }

    /// Reads some alerts of the organization as they were a moment ago, in no order; absent ones are left out.
    pub async fn load_many(table: &Table, scope: &Scope<ReadAlerts>, ids: &[AlertId]) -> Result<Vec<Self>> {
        let keys: Vec<Key> = ids.iter().map(|id| key(scope.org(), *id)).collect();
        table.get_many(&keys, false).await
    }

    /// Reads one page of the organization's alerts, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadAlerts>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Reads one page of a project's alerts, newest first.
    pub async fn list_of(
        table: &Table,
        scope: &Scope<ReadAlerts>,
        project: &Project,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let after = slice.after.as_ref().and_then(|after| after.get(AFTER)?.parse().ok());
        let roster = Roster::load(table, project.id).await?;
        let older = roster.alerts.iter().rev().copied();
        let older: Vec<AlertId> = older.filter(|id| after.is_none_or(|after| *id < after)).collect();
        let page = &older[..older.len().min(usize::from(slice.limit))];
        let keys: Vec<Key> = page.iter().map(|id| key(scope.org(), *id)).collect();
        let mut records = table.get_many::<Self>(&keys, true).await?;
        records.sort_by_key(|alert| std::cmp::Reverse(alert.id));
        let more = page.last().filter(|_| older.len() > page.len());
        let next = more.map(|last| Position::from([(AFTER.to_owned(), last.to_string())]));
        Ok(Page { records, next })
    }

    /// Changes it and notes it; nothing happens if it is so already. Disabling one that fires resolves its incident.
    /// Where its notices go somewhere else, a webhook gets another secret, which is shown once. 409 `quota_reached` when it is to
    /// be enabled and as many of the organization are as may be.
    pub async fn save(
        mut self,
        app: &App,
        scope: &Scope<ManageAlerts>,
        project: &Project,
        patch: AlertPatch,
        notices: &Notices,
    ) -> Result<(Self, Option<Secret>)> {
        let (now, chain) = (app.now(), Chain::Org(scope.org_of(self.project)?));
        let old = self.clone();
        let before = Settings {
            target: notices.target(&old)?,
            ..old.settings.clone()
        };
        self.settings = before.clone().patched(patch);
        if self.settings == before {
            return Ok((old, None));
        }
        self.settings.check(notices.allowed())?;
        let moved = self.settings.moved_from(&before);
        if moved {
            let org = scope.org_of(self.project)?;
            may_mail(&app.table, scope, org, notices, &self.settings).await?;
        }
        let secret = if moved { notices.sign(&mut self)? } else { None };
        notices.conceal(&mut self)?;
        self.updated_at = now;
        let mut told = None;
        if !self.settings.enabled {
            let ending = Ending {
                now,
                project: &project.name,
                reason: Reason::Disabled,
            };
            told = self.end(&app.table, &scope.narrow()?, notices, ending).await?;
        }
        let change = Change::by(scope.actor(), "alert.updated", "alert", self.id);
        let change = change.from(noted(&old)).to(noted(&self));
        again(|| async {
            let counted = if old.settings.enabled {
                None
            } else {
                one_more(&app.table, scope, &self).await?
            };
            let done = telling(Commit::by(app, scope), told.as_ref())?
                .write("alert", Write::replace(&self)?)
                .write_all("quota", counted)
                .note(chain, change.clone())
                .await;
            // What is to be changed is what the caller has seen.
            done.map_err(|failed| failed.if_failed("alert", || Error::Stale))
        })
        .await?;
        Ok((self, secret))
    }

    /// Deletes it and notes it. If it fires, its incident is resolved. `project` is what its project is called.
    pub async fn delete(self, app: &App, scope: &Scope<ManageAlerts>, project: &str, notices: &Notices) -> Result<()> {
        let chain = Chain::Org(scope.org_of(self.project)?);
        let ending = Ending {
            now: app.now(),
            project,
            reason: Reason::Deleted,
        };
        let told = self.clone().end(&app.table, &scope.narrow()?, notices, ending).await?;
        let change = Change::by(scope.actor(), "alert.deleted", "alert", self.id).from(noted(&self));
        again(|| async {
            let mut roster = Roster::load(&app.table, self.project).await?;
            roster.alerts.remove(&self.id);
            let done = telling(Commit::by(app, scope), told.as_ref())?
                .write("alert", Write::delete(&self))
                .write("roster", Write::save(&roster)?)
                .note(chain, change.clone())
                .await;
            // What is to be deleted is what the caller has seen.
            done.map_err(|failed| failed.if_failed("alert", || Error::Stale))
        })
        .await
    }

    /// Stops firing, if it does: its incident as it is resolved, and the notice that says so.
    pub(crate) async fn end(
        &mut self,
        table: &Table,
        scope: &Scope<ReadAlerts>,
        notices: &Notices,
        ending: Ending<'_>,
    ) -> Result<Option<Turn>> {
        let Some(open) = self.incident else { return Ok(None) };
        let incident = Incident::load(table, scope, self.id, open).await?;
        let incident = incident.resolved(ending.now);
        self.calm();
        let job = notices.resolved(ending, self, &incident)?;
        Ok(Some(Turn::of(self, ending.project, incident, job)))
    }

    /// Stores what the system made of it, with the incident and the notice, together or not at all.
    /// [`NotDone::Conditions`] when something else changed it since it was read.
    pub(crate) async fn turn(&self, app: &App, scope: &Scope<ReadAlerts>, told: Option<&Turn>) -> Result<(), NotDone> {
        telling(Commit::by(app, scope), told)?
            .write("alert", Write::replace(self)?)
            .await
    }

    /// Stores that the system disabled it, with the incident and the notice, and notes it.
    pub(crate) async fn disable(
        &self,
        app: &App,
        scope: &Scope<ReadAlerts>,
        told: Option<&Turn>,
    ) -> Result<(), NotDone> {
        let change = Change::by(scope.actor(), "alert.disabled", "alert", self.id);
        telling(Commit::by(app, scope), told)?
            .write("alert", Write::replace(self)?)
            .note(Chain::Org(self.org), change.to(json!({"because": "project_deleted"})))
            .await
    }
}

/// Lets those who enable alerts of one organization pass one at a time.
#[derive(Debug, Serialize, Deserialize)]
struct Turnstile {
    org: OrgId,
    #[serde(default)]
    version: u64,
}

impl Record for Turnstile {
    const KIND: &'static str = "alertTurnstile";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        turnstile_key(self.org)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn turnstile_key(org: OrgId) -> Key {
    Key::of(format!("ORG#{org}#ALERTQUOTA"), "TURNSTILE")
}

/// What is to be written with an alert, if it is enabled and was not. 409 `quota_reached`.
async fn one_more(table: &Table, scope: &Scope<ManageAlerts>, alert: &Alert) -> Result<Option<Write>> {
    if !alert.settings.enabled {
        return Ok(None);
    }
    let found = table.get(&turnstile_key(alert.org)).await?;
    let turnstile = found.unwrap_or(Turnstile {
        org: alert.org,
        version: 0,
    });
    let page = |slice| table.query::<Alert>(Query::slice(partition(alert.org), slice).consistent());
    let alerts = table::whole(PAGE, page).await?;
    let there = alerts.iter().filter(|one| one.settings.enabled).count();
    Quotas::admit(table, scope, alert.project, Quota::EnabledAlerts, there).await?;
    Write::save(&turnstile).map(Some)
}

/// Wants, where notices are mails and proof is wanted, what [`postage::may_mail`] does.
async fn may_mail(
    table: &Table,
    scope: &Scope<ManageAlerts>,
    org: OrgId,
    notices: &Notices,
    settings: &Settings,
) -> Result<()> {
    if settings.channel != Channel::Email || !notices.need_proof() {
        return Ok(());
    }
    postage::may_mail(table, scope, org, &settings.target).await
}

/// Adds an incident, its notice and what is told of it to a commit.
fn telling<'a>(commit: Commit<'a>, told: Option<&Turn>) -> Result<Commit<'a>> {
    match told {
        Some(turn) => turn.told_by(commit),
        None => Ok(commit),
    }
}

//! Where endpoints lie.
//!
//! One endpoint, and an organization's:   pk ORG#<org>#WEBHOOK   sk <whk>
//! How many there are:                    pk ORG#<org>#WEBHOOK   sk ROSTER      (bounds them)

use std::collections::BTreeMap;

use anyhow::anyhow;
use app::App;
use billing::Client;
use commit::{Commit, NotDone, Reply, again};
use identity::Project;
use kernel::policy::{ManageWebhooks, ReadBilling, ReadProjects, ReadWebhooks};
use kernel::{Error, OrgId, Result, Scope, Time, WebhookId};
use outbound::AllowList;
use outbox::Shown;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{
    Endpoint, EndpointPatch, EndpointView, Health, NewEndpoint, Reason, Secrets, Settings, SignedEndpointView, Status,
    Verdict,
};
use crate::facts::EndpointDisabled;

/// An organization has at most so many endpoints: each is a call for each event.
const MOST: u16 = 100;
const NAME: &str = "webhook subscription";

impl Record for Endpoint {
    const KIND: &'static str = "webhook";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, id: WebhookId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#WEBHOOK")
}

/// How many endpoints an organization has.
#[derive(Debug, Serialize, Deserialize)]
struct Roster {
    org: OrgId,
    endpoints: u16,
    #[serde(default)]
    version: u64,
}

impl Record for Roster {
    const KIND: &'static str = "webhookRoster";
    const TABLE: TableName = TableName::Operations;

    fn key(&self) -> Key {
        Key::of(partition(self.org), "ROSTER")
    }

    fn version(&self) -> u64 {
        self.version
    }
}

impl Roster {
    async fn load(table: &Table, org: OrgId) -> Result<Self> {
        let none = Self {
            org,
            endpoints: 0,
            version: 0,
        };
        Ok(table.get(&none.key()).await?.unwrap_or(none))
    }
}

/// What the audit trail says of an endpoint: no secret, and of its address, which may be one, no more than the server.
fn noted(endpoint: &Endpoint) -> Value {
    let settings = &endpoint.settings;
    let server =
        outbound::Url::parse(&settings.url).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization());
    json!({
        "server": server,
        "events": settings.events,
        "description": settings.description,
        "headers": endpoint.header_names,
        "projectId": settings.project_id,
        "clientId": settings.client_id,
        "status": endpoint.status,
    })
}

/// An endpoint as a worker needs it: with what signs its calls.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) endpoint: Endpoint,
    pub(crate) secrets: Secrets,
}

/// What an attempt changes about its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// It was answered that there is no such endpoint any more.
    Gone,
}

impl Endpoint {
    /// Makes an endpoint of the organization and notes it; its secret is shown once. 409 `too_many_webhooks` when there are 100.
    pub async fn create(
        app: &App,
        scope: &Scope<ManageWebhooks>,
        input: NewEndpoint,
        allow: &AllowList,
    ) -> Result<SignedEndpointView> {
        let org = scope.org();
        let (mut settings, headers) = input.parts();
        settings.check(allow)?;
        must_be_theirs(&app.table, org, &settings).await?;
        let secrets = Secrets::new(headers);
        let mut endpoint = Self::new(app.now(), org, settings, &secrets)?;
        endpoint.seal(app, &secrets)?;
        let change = Change::by(scope.actor(), "webhook.created", "webhook", endpoint.id).to(noted(&endpoint));
        let view = SignedEndpointView::of(endpoint.clone(), &secrets);
        again(|| async {
            let mut roster = Roster::load(&app.table, org).await?;
            if roster.endpoints >= MOST {
                let detail = format!("an organization has at most {MOST} webhook subscriptions; delete one first");
                return Err(Error::refused("too_many_webhooks", detail).into());
            }
            roster.endpoints += 1;
            Commit::by(app, scope)
                .write("webhook", Write::create(&endpoint)?)
                .write("roster", Write::save(&roster)?)
                .note(Chain::Org(org), change.clone())
                .reply(Reply::created(&view)?)
                .await
        })
        .await?;
        Ok(view)
    }

    /// Reads an endpoint of the organization; 404 if it has none with this id.
    pub async fn load(table: &Table, scope: &Scope<ReadWebhooks>, id: WebhookId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of the organization's endpoints, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadWebhooks>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).prefix("whk_");
        table.query(query.descending().consistent()).await
    }

    /// Reads all endpoints of the organization.
    pub(crate) async fn all(table: &Table, scope: &Scope<ReadWebhooks>) -> Result<Vec<Self>> {
        table::whole(MOST, |slice| Self::list(table, scope, slice)).await
    }

    /// Changes it and notes it; nothing happens if it is so already. Enabling one begins its health anew.
    pub async fn save(
        app: &App,
        scope: &Scope<ManageWebhooks>,
        id: WebhookId,
        patch: EndpointPatch,
        allow: &AllowList,
    ) -> Result<Self> {
        again(|| async {
            let old = Self::load(&app.table, &scope.narrow()?, id).await?;
            let mut changed = old.clone();
            changed.settings = patch.changed(&old.settings);
            if changed.settings.url != old.settings.url {
                changed.settings.check(allow)?;
            }
            let whose = |settings: &Settings| (settings.project_id, settings.client_id);
            if whose(&changed.settings) != whose(&old.settings) {
                must_be_theirs(&app.table, old.org, &changed.settings).await?;
            }
            if let Some(status) = patch.status.filter(|status| *status != old.status) {
                changed.turn(status, Reason::Person);
            }
            if let Some(headers) = patch.headers() {
                let mut secrets = old.open(app)?;
                changed.header_names = headers.keys().cloned().collect();
                secrets.set_headers(headers);
                changed.seal(app, &secrets)?;
            } else if (&changed.settings, changed.status) == (&old.settings, old.status) {
                return Ok(old);
            }
            changed.seal_anew(app)?;
            changed.updated_at = app.now();
            let change = Change::by(scope.actor(), "webhook.updated", "webhook", id);
            Commit::by(app, scope)
                .write("webhook", Write::replace(&changed)?)
                .note(Chain::Org(old.org), change.from(noted(&old)).to(noted(&changed)))
                .await?;
            Ok(changed)
        })
        .await
    }

    /// Gives it other keys, which are shown once; the ones of before sign too until `until`.
    pub async fn rotate(
        app: &App,
        scope: &Scope<ManageWebhooks>,
        id: WebhookId,
        until: Time,
    ) -> Result<SignedEndpointView> {
        again(|| async {
            let mut endpoint = Self::load(&app.table, &scope.narrow()?, id).await?;
            // What nobody can open any more is begun anew; its headers have to be given again.
            let mut secrets = endpoint.opened(app)?.unwrap_or_else(|| Secrets::new(BTreeMap::new()));
            secrets.rotate(app.now(), until);
            endpoint.header_names = secrets.headers().keys().cloned().collect();
            endpoint.rotated(&secrets)?;
            endpoint.seal(app, &secrets)?;
            endpoint.updated_at = app.now();
            let change = Change::by(scope.actor(), "webhook.secret_rotated", "webhook", id);
            let view = SignedEndpointView::of(endpoint.clone(), &secrets);
            Commit::by(app, scope)
                .write("webhook", Write::replace(&endpoint)?)
                .note(Chain::Org(endpoint.org), change)
                .reply(Reply::ok(&view)?)
                .await?;
            Ok(view)
        })
        .await
    }

    /// Deletes it and notes it. What was to be delivered to it fails.
    pub async fn delete(app: &App, scope: &Scope<ManageWebhooks>, id: WebhookId) -> Result<()> {
        again(|| async {
            let endpoint = Self::load(&app.table, &scope.narrow()?, id).await?;
            let mut roster = Roster::load(&app.table, endpoint.org).await?;
            roster.endpoints = roster.endpoints.saturating_sub(1);
            let change = Change::by(scope.actor(), "webhook.deleted", "webhook", id).from(noted(&endpoint));
            Commit::by(app, scope)
                .write("webhook", Write::delete(&endpoint))
                .write("roster", Write::save(&roster)?)
                .note(Chain::Org(endpoint.org), change)
                .await
        })
        .await
    }

    /// Counts a trial of it. 429 when there were ten within a minute.
    pub(crate) async fn count_trial(app: &App, scope: &Scope<ManageWebhooks>, id: WebhookId) -> Result<Known> {
        again(|| async {
            let mut endpoint = Self::load(&app.table, &scope.narrow()?, id).await?;
            endpoint
                .tried(app.now())
                .map_err(|retry_after_seconds| Error::Limited {
                    whose: "endpoint",
                    limit: 10,
                    retry_after_seconds,
                })?;
            Commit::by(app, scope)
                .write("webhook", Write::replace(&endpoint)?)
                .await?;
            let secrets = endpoint.open(app)?;
            Ok::<_, NotDone>(Known { endpoint, secrets })
        })
        .await
    }

    /// With what signs its calls; nothing if that cannot be opened any more.
    pub(crate) fn known(self, app: &App) -> Result<Option<Known>> {
        let secrets = self.opened(app)?;
        Ok(secrets.map(|secrets| Known {
            endpoint: self,
            secrets,
        }))
    }

    /// Takes down what came of an attempt, where that changes anything; tells it when the endpoint is given up.
    pub(crate) async fn turned(app: &App, scope: &Scope<ReadWebhooks>, seen: &Self, turn: Turn) -> Result<()> {
        if turn == Turn::Succeeded && seen.health == Health::default() {
            return Ok(());
        }
        again(|| async {
            let mut endpoint = match Self::load(&app.table, scope, seen.id).await {
                Ok(endpoint) if endpoint.is_active() => endpoint,
                // It was deleted, or disabled meanwhile.
                Ok(_) | Err(Error::NotFound(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let given_up = match (turn, endpoint.health.failed(app.now())) {
                (Turn::Succeeded, _) if endpoint.health == Health::default() => return Ok(()),
                (Turn::Succeeded, _) => {
                    endpoint.health = Health::default();
                    None
                }
                (Turn::Gone, _) => Some(Reason::Gone),
                (Turn::Failed, Verdict::GivenUp) => Some(Reason::Failing),
                (Turn::Failed, Verdict::Nothing) => return Ok(()),
                (Turn::Failed, Verdict::Noted(health)) => {
                    endpoint.health = health;
                    None
                }
            };
            endpoint.seal_anew(app)?;
            let mut commit = Commit::by(app, scope);
            if let Some(reason) = given_up {
                endpoint.turn(Status::Disabled, reason);
                let view = EndpointView::from(endpoint.clone());
                let shown = Shown::of(endpoint.org, &endpoint.id, endpoint.version + 1, view);
                commit = commit.tell(&EndpointDisabled(shown))?;
            }
            commit.write("webhook", Write::replace(&endpoint)?).await
        })
        .await
    }

    fn seal(&mut self, app: &App, secrets: &Secrets) -> Result<()> {
        let plain = serde_json::to_vec(secrets).map_err(|_| anyhow!("an endpoint's secrets cannot be written"))?;
        self.sealed = app.sealing.seal(&self.context(), &plain)?;
        Ok(())
    }

    fn open(&self, app: &App) -> Result<Secrets> {
        let lost = "what the calls of this subscription are signed with cannot be opened any more; rotate its secret";
        self.opened(app)?.ok_or_else(|| Error::refused("secret_lost", lost))
    }

    /// Its secrets; nothing if the key that sealed them is gone.
    fn opened(&self, app: &App) -> Result<Option<Secrets>> {
        let plain = app.sealing.open(&self.context(), &self.sealed)?;
        Ok(plain.and_then(|plain| serde_json::from_slice(&plain).ok()))
    }

    /// Seals its secrets with the newest key, if an older one did: so that the older one can go.
    fn seal_anew(&mut self, app: &App) -> Result<()> {
        if app.sealing.is_old(&self.sealed)?
            && let Some(secrets) = self.opened(app)?
        {
            self.seal(app, &secrets)?;
        }
        Ok(())
    }
}

/// Wants a project and a client to be the organization's own; 404 if they are not.
async fn must_be_theirs(table: &Table, org: OrgId, settings: &Settings) -> Result<()> {
    if let Some(project) = settings.project_id {
        Project::load(table, &Scope::<ReadProjects>::system(org), project).await?;
    }
    if let Some(client) = settings.client_id {
        Client::load(table, &Scope::<ReadBilling>::system(org), client).await?;
    }
    Ok(())
}

//! A client:                 pk ORG#<org>#CLIENT           sk <client>
//! One that was deleted:     pk ORG#<org>#DELETEDCLIENT    sk <client>      (what was sold to it stays)
//! Its name in events:       pk ORG#<org>#EXTERNAL         sk <externalId>  (no two clients share one)

use app::App;
use commit::{Commit, NotDone, Reply, again};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, Error, OrgId, OrgWide, Result, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change, Noted, Subject};

use super::{CannotDelete, CannotName, Client, ClientPatch, ClientView, NewClient};
use crate::recurring::Recurring;

/// What a client is called where it is absent.
pub const NAME: &str = "client";
/// A search reads so many clients at once,
const SEARCH_PAGE: u16 = 250;
/// so often.
const SEARCH_PAGES: usize = 8;

impl Record for Client {
    const KIND: &'static str = "client";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        if self.deleted_at.is_some() {
            deleted_key(self.org, self.id)
        } else {
            key(self.org, self.id)
        }
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#CLIENT")
}

fn key(org: OrgId, id: ClientId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn deleted_key(org: OrgId, id: ClientId) -> Key {
    Key::of(format!("ORG#{org}#DELETEDCLIENT"), id.to_string())
}

/// Says whose a name in events is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExternalId {
    org: OrgId,
    name: String,
    client: ClientId,
}

impl Record for ExternalId {
    const KIND: &'static str = "externalId";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        external_key(self.org, &self.name)
    }
}

fn external_key(org: OrgId, external_id: &str) -> Key {
    Key::of(format!("ORG#{org}#EXTERNAL"), external_id)
}

/// The write by which a name in events is a client's.
const TAKES_NAME: &str = "external id";

impl Client {
    fn external(&self) -> Option<ExternalId> {
        let name = self.profile.external_id.clone()?;
        Some(ExternalId {
            org: self.org,
            name,
            client: self.id,
        })
    }

    /// What the audit trail says of it: who it is and how to reach it, beside it.
    pub(crate) fn noted(&self) -> Noted {
        let names = ["name", "email", "phone", "address", "taxId", "externalId"];
        Noted::about(Subject::of(self.id), json!(self.profile), &names)
    }

    /// Adds to a commit what stores a new one.
    pub(crate) fn create_with<'a>(&self, commit: Commit<'a>) -> Result<Commit<'a>> {
        let commit = commit.write(NAME, Write::create(self)?);
        let external = self.external().map(|external| Write::create(&external)).transpose()?;
        Ok(commit.write_all(TAKES_NAME, external))
    }

    /// Makes a client and notes it. 409 `external_id_taken` if another one is called so in events.
    pub async fn create(app: &App, scope: &Scope<ManageBilling>, new: &NewClient) -> Result<ClientView> {
        let client = Self::new(app.now(), scope.org(), new.profile()?);
        let change = Change::by(scope.actor(), "client.created", NAME, client.id).to(client.noted());
        let view = ClientView::from(client.clone());
        let done = client
            .create_with(Commit::by(app, scope))?
            .note(Chain::Org(client.org), change)
            .reply(Reply::created(&view)?);
        done.await.map_err(taken)?;
        Ok(view)
    }

    /// Reads a client of the organization; 404 if it has none with this id, or has deleted it.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: ClientId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads a client of the organization, even one that it has deleted: for what was sold to it.
    pub async fn load_even_deleted<P: OrgWide>(table: &Table, scope: &Scope<P>, id: ClientId) -> Result<Self> {
        if let Some(client) = table.get(&key(scope.org(), id)).await? {
            return Ok(client);
        }
        let deleted = table.get(&deleted_key(scope.org(), id)).await?;
        deleted.ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of the organization's clients, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Looks for clients whose name, address or name in events holds a text, newest first. It looks at 2,000 at most, so
    /// a page may be short, or even empty, and another one follow.
    pub async fn search(table: &Table, scope: &Scope<ReadBilling>, text: &str, slice: Slice) -> Result<Page<Self>> {
        let wanted = text.to_lowercase();
        let limit = usize::from(slice.limit);
        let (mut records, mut next) = (Vec::new(), slice.after);
        for _ in 0..SEARCH_PAGES {
            let query = Query::of(partition(scope.org()), SEARCH_PAGE).descending();
            let page = table.query::<Self>(query.after(next)).await?;
            for client in page.records {
                if !client.is_like(&wanted) {
                    continue;
                }
                if records.len() == limit {
                    let next = records.last().map(place);
                    return Ok(Page { records, next });
                }
                records.push(client);
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(Page { records, next })
    }

    fn is_like(&self, lower: &str) -> bool {
        let profile = &self.profile;
        let texts = [Some(&profile.name), Some(&profile.email), profile.external_id.as_ref()];
        texts
            .into_iter()
            .flatten()
            .any(|text| text.to_lowercase().contains(lower))
    }

    /// Changes it and notes it; nothing happens if it is so already.
    pub async fn patch(app: &App, scope: &Scope<ManageBilling>, id: ClientId, patch: &ClientPatch) -> Result<Self> {
        again(|| async {
            let old = Self::load(&app.table, scope, id).await?;
            let profile = patch.clone().on(old.profile.clone())?;
            if profile == old.profile {
                return Ok(old);
            }
            let mut client = old.clone();
            client.change(app.now(), profile);
            let change = Change::by(scope.actor(), "client.updated", NAME, id);
            let change = change.from(old.noted()).to(client.noted());
            let mut commit = Commit::by(app, scope).write(NAME, Write::replace(&client)?);
            if client.profile.external_id != old.profile.external_id {
                commit = commit.write_all("old external id", old.external().as_ref().map(Write::remove));
                if let Some(external) = client.external() {
                    commit = commit.write(TAKES_NAME, Write::create(&external)?);
                }
            }
            commit.note(Chain::Org(client.org), change).await.map_err(taken)?;
            Ok(client)
        })
        .await
    }

    /// Deletes it and notes it; what was sold to it stays. 409 `client_has_contract` while a contract goes on, and
    /// `client_has_recurring_invoice` while an invoice recurs or may again.
    pub async fn remove(app: &App, scope: &Scope<ManageBilling>, id: ClientId) -> Result<()> {
        again(|| async {
            let client = Self::load(&app.table, scope, id).await?;
            let mut deleted = client.clone();
            deleted.delete(app.now()).map_err(Error::from)?;
            if Recurring::goes_on_for(&app.table, scope.org(), id).await? {
                return Err(Error::from(CannotDelete::HasRecurring).into());
            }
            deleted.version = 0;
            let change = Change::by(scope.actor(), "client.deleted", NAME, id).from(client.noted());
            Commit::by(app, scope)
                .write(NAME, Write::delete(&client))
                .write("deleted client", Write::create(&deleted)?)
                .write_all("old external id", client.external().as_ref().map(Write::remove))
                .note(Chain::Org(client.org), change)
                .await
        })
        .await
    }

    /// What wants it to be as it was read, in a commit that does not change it.
    pub(crate) fn unchanged(&self) -> Write {
        Write::check(self)
    }

    /// Stores what a deed has changed of it, such as its balance: for the commit of that deed, under the name [`NAME`].
    pub fn save(&self) -> Result<Write> {
        Write::replace(self)
    }
}

/// Where a page ends with a client.
fn place(last: &Client) -> Position {
    let Key { pk, sk } = last.key();
    Position::from([("pk".to_owned(), pk), ("sk".to_owned(), sk)])
}

fn taken(failed: NotDone) -> NotDone {
    failed.if_failed(TAKES_NAME, || CannotName::Taken.into())
}

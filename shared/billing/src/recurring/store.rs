//! A recurring invoice:   pk ORG#<org>#RECURRING                sk <recurring invoice>
//! A client's:            gsi1pk ORG#<org>#RECURRING#<client>   gsi1sk <recurring invoice>

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{ClientId, Error, OrgId, RecurringInvoiceId, Result, Scope, Time};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{CannotTurn, NewRecurring, Recurring, RecurringView};
use crate::books::Books;
use crate::client;
use crate::due::{self, Subject};

/// What it is called in the audit trail, and where it is absent.
const NAME: &str = "recurring invoice";

/// Those of a client are looked at in pages of this many.
const PAGE: u16 = 100;

impl Record for Recurring {
    const KIND: &'static str = "recurring-invoice";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_client(self.org, self.client), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#RECURRING")
}

fn key(org: OrgId, id: RecurringInvoiceId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn of_client(org: OrgId, client: ClientId) -> String {
    format!("{}#{client}", partition(org))
}

impl Recurring {
    /// Makes a recurring invoice for a client and notes it. 404 without the client.
    pub async fn create(app: &App, scope: &Scope<ManageBilling>, new: &NewRecurring) -> Result<RecurringView> {
        again(|| async {
            let books = Books::open(app, scope.org(), new.client_id).await?;
            if books.client().deleted_at.is_some() {
                return Err(Error::NotFound(client::NAME).into());
            }
            let (_, _, zone) = books.terms();
            let mut recurring = Self::new(app.now(), scope.org(), zone, new)?;
            let marks = recurring.mark()?;
            let view = RecurringView::of(&recurring);
            let change = Change::by(scope.actor(), "recurring_invoice.created", NAME, recurring.id);
            Commit::by(app, scope)
                .write("recurring invoice", Write::create(&recurring)?)
                // Not while it is deleted at the same moment.
                .write(client::NAME, books.client().unchanged())
                .write_all("due mark", marks)
                .note(Chain::Org(recurring.org), change.to(json!(view)))
                .reply(Reply::created(&view)?)
                .await?;
            Ok(view)
        })
        .await
    }

    /// Whether something of a client recurs, or may again. It looks at an index, where one that was made a moment ago may be
    /// missing: that one ends when its client is found to be deleted.
    pub(crate) async fn goes_on_for(table: &Table, org: OrgId, client: ClientId) -> Result<bool> {
        let mut after = None;
        loop {
            let slice = Slice { limit: PAGE, after };
            let page: Page<Self> = table
                .query(Query::slice(of_client(org, client), slice).index1().descending())
                .await?;
            if page.records.iter().any(Self::goes_on) {
                return Ok(true);
            }
            after = page.next;
            if after.is_none() {
                return Ok(false);
            }
        }
    }

    /// Reads a recurring invoice of the scope's organization.
    pub async fn load(table: &Table, scope: &Scope<ReadBilling>, id: RecurringInvoiceId) -> Result<Self> {
        Self::find(table, scope.org(), id).await
    }

    pub(crate) async fn find(table: &Table, org: OrgId, id: RecurringInvoiceId) -> Result<Self> {
        table.get(&key(org, id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of an organization's recurring invoices, or of a client's, newest first.
    pub async fn list(
        table: &Table,
        scope: &Scope<ReadBilling>,
        client: Option<ClientId>,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let query = match client {
            Some(client) => Query::slice(of_client(scope.org(), client), slice).index1(),
            None => Query::slice(partition(scope.org()), slice).consistent(),
        };
        table.query(query.descending()).await
    }

    /// Lets it rest, and notes it.
    pub async fn pause_now(app: &App, scope: &Scope<ManageBilling>, id: RecurringInvoiceId) -> Result<RecurringView> {
        Self::turn(app, scope, id, "recurring_invoice.paused", Self::pause).await
    }

    /// Lets it go on, and notes it.
    pub async fn resume_now(app: &App, scope: &Scope<ManageBilling>, id: RecurringInvoiceId) -> Result<RecurringView> {
        Self::turn(app, scope, id, "recurring_invoice.resumed", Self::resume).await
    }

    /// Ends it, and notes it.
    pub async fn cancel_now(app: &App, scope: &Scope<ManageBilling>, id: RecurringInvoiceId) -> Result<RecurringView> {
        Self::turn(app, scope, id, "recurring_invoice.cancelled", Self::cancel).await
    }

    async fn turn(
        app: &App,
        scope: &Scope<ManageBilling>,
        id: RecurringInvoiceId,
        action: &'static str,
        turned: fn(&mut Self, Time) -> Result<(), CannotTurn>,
    ) -> Result<RecurringView> {
        again(|| async {
            let before = Self::find(&app.table, scope.org(), id).await?;
            let mut recurring = before.clone();
            turned(&mut recurring, app.now()).map_err(Error::from)?;
            let marks = recurring.mark()?;
            let view = RecurringView::of(&recurring);
            let change = Change::by(scope.actor(), action, NAME, id);
            let change = change
                .from(json!({"status": before.status}))
                .to(json!({"status": recurring.status}));
            Commit::by(app, scope)
                .write("recurring invoice", Write::replace(&recurring)?)
                .write_all("due mark", marks)
                .note(Chain::Org(recurring.org), change)
                .reply(Reply::ok(&view)?)
                .await?;
            Ok(view)
        })
        .await
    }

    /// What moves its mark to when it recurs next.
    pub(super) fn mark(&mut self) -> Result<Vec<Write>> {
        let next = self.next_at();
        let moved = due::moved(self.org, Subject::Recurring(self.id), self.marked_at, next)?;
        self.marked_at = next;
        Ok(moved)
    }
}

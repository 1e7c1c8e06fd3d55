//! A credit note:    pk ORG#<org>#CREDITNOTE                 sk <credit note>
//! An invoice's:     gsi1pk ORG#<org>#CREDITNOTE#<invoice>   gsi1sk <credit note>
//! A client's:       gsi2pk ORG#<org>#CREDITNOTE#<client>    gsi2sk <credit note>

use kernel::policy::ReadBilling;
use kernel::{ClientId, CreditNoteId, Error, InvoiceId, OrgId, Result, Scope};
use table::{Key, Page, Query, Record, Slice, Table, TableName};

use super::CreditNote;

impl Record for CreditNote {
    const KIND: &'static str = "credit-note";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        let invoice = self.invoice?;
        Some(Key::of(of_invoice(self.org, invoice), self.id.to_string()))
    }

    fn index2(&self) -> Option<Key> {
        Some(Key::of(of_client(self.org, self.client), self.id.to_string()))
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#CREDITNOTE")
}

fn key(org: OrgId, id: CreditNoteId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn of_invoice(org: OrgId, invoice: InvoiceId) -> String {
    format!("{}#{invoice}", partition(org))
}

fn of_client(org: OrgId, client: ClientId) -> String {
    format!("{}#{client}", partition(org))
}

impl CreditNote {
    /// Reads a credit note of the scope's organization.
    pub async fn load(table: &Table, scope: &Scope<ReadBilling>, id: CreditNoteId) -> Result<Self> {
        let found = table.get(&key(scope.org(), id)).await?;
        found.ok_or(Error::NotFound("credit note"))
    }

    /// Reads one page of an organization's credit notes, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Reads one page of an invoice's credit notes, newest first.
    pub async fn list_of(
        table: &Table,
        scope: &Scope<ReadBilling>,
        invoice: InvoiceId,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let query = Query::slice(of_invoice(scope.org(), invoice), slice);
        table.query(query.index1().descending()).await
    }

    /// Reads one page of a client's credit notes, newest first.
    pub async fn list_for(
        table: &Table,
        scope: &Scope<ReadBilling>,
        client: ClientId,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let query = Query::slice(of_client(scope.org(), client), slice);
        table.query(query.index2().descending()).await
    }
}

//! An invoice:          pk ORG#<org>#INVOICE              sk <invoice>
//! A client's:          gsi1pk ORG#<org>#INVOICE#<client>   gsi1sk <invoice>
//! Those of a state:    gsi2pk ORG#<org>#INVOICE#<status>   gsi2sk <invoice>
//! What there is one invoice of:   pk ORG#<org>#BILLINGKEY   sk <billing key>

use kernel::policy::ReadBilling;
use kernel::{ClientId, Error, InvoiceId, OrgId, Result, Scope, Time};
use serde::{Deserialize, Serialize};
use table::{Key, Page, Position, Query, Record, Slice, Table, TableName};

use super::{Invoice, Status};

/// What an invoice is called where it is absent.
const NAME: &str = "invoice";
/// Of a client's invoices that are asked for by their state, so many are looked at for a page.
const LOOKED_AT: u16 = 100;
/// So many times.
const LOOKS: usize = 5;

impl Record for Invoice {
    const KIND: &'static str = "invoice";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_client(self.org, self.client), self.id.to_string()))
    }

    fn index2(&self) -> Option<Key> {
        Some(Key::of(of_status(self.org, self.status), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#INVOICE")
}

fn key(org: OrgId, id: InvoiceId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn of_client(org: OrgId, client: ClientId) -> String {
    format!("{}#{client}", partition(org))
}

fn of_status(org: OrgId, status: Status) -> String {
    format!("{}#{}", partition(org), status.name())
}

/// That there is an invoice of something there is only one of.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BillingKey {
    pub(crate) org: OrgId,
    pub(crate) text: String,
    pub(crate) invoice: InvoiceId,
}

impl Record for BillingKey {
    const KIND: &'static str = "billing-key";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(format!("ORG#{}#BILLINGKEY", self.org), &self.text)
    }
}

/// Which invoices are listed: all that are given hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    /// Those in this state.
    pub status: Option<Status>,
    /// Those of this client.
    pub client: Option<ClientId>,
    /// Those made from then on.
    pub from: Option<Time>,
    /// Those made before.
    pub to: Option<Time>,
}

impl Listed {
    fn takes(&self, invoice: &Invoice) -> bool {
        self.status.is_none_or(|status| invoice.status == status)
    }

    /// The query of a page: ids begin with the time that they were made at.
    fn query(&self, org: OrgId, slice: Slice) -> Query {
        let query = match (self.client, self.status) {
            (Some(client), _) => Query::slice(of_client(org, client), slice).index1(),
            (None, Some(status)) => Query::slice(of_status(org, status), slice).index2(),
            (None, None) => Query::slice(partition(org), slice).consistent(),
        };
        let first = self.from.unwrap_or(Time::from_millis(0));
        let end = self.to.unwrap_or(Time::from_millis(i64::MAX)).plus_millis(-1);
        query.between(first_id(first), last_id(end)).descending()
    }
}

/// The first id that an invoice can have that is made at a time.
fn first_id(time: Time) -> String {
    InvoiceId::from_bits(millis(time) << 80).to_string()
}

/// The last one.
fn last_id(time: Time) -> String {
    InvoiceId::from_bits((millis(time) << 80) | ((1 << 80) - 1)).to_string()
}

/// The 48 bits of a time that an id begins with.
fn millis(time: Time) -> u128 {
    u128::try_from(time.millis()).unwrap_or(0).min((1 << 48) - 1)
}

impl Invoice {
    /// Reads an invoice of the scope's organization.
    pub async fn load(table: &Table, scope: &Scope<ReadBilling>, id: InvoiceId) -> Result<Self> {
        Self::find(table, scope.org(), id).await
    }

    pub(crate) async fn find(table: &Table, org: OrgId, id: InvoiceId) -> Result<Self> {
        table.get(&key(org, id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of an organization's invoices, newest first. Of those of a client in one state a page may be short,
    /// though others follow: 500 of the client are looked at for it at most.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, listed: Listed, slice: Slice) -> Result<Page<Self>> {
        if listed.client.is_none() || listed.status.is_none() {
            return table.query(listed.query(scope.org(), slice)).await;
        }
        let wanted = usize::from(slice.limit);
        let mut found = Page {
            records: Vec::new(),
            next: slice.after,
        };
        for _ in 0..LOOKS {
            let part = Slice {
                limit: LOOKED_AT,
                after: found.next.take(),
            };
            let page: Page<Self> = table.query(listed.query(scope.org(), part)).await?;
            let mut matching = page.records.into_iter().filter(|invoice| listed.takes(invoice));
            found
                .records
                .extend(matching.by_ref().take(wanted - found.records.len()));
            found.next = page.next;
            if found.records.len() == wanted && (matching.next().is_some() || found.next.is_some()) {
                found.next = found.records.last().map(Self::place_among_clients);
            }
            if found.next.is_none() || found.records.len() == wanted {
                break;
            }
        }
        Ok(found)
    }

    /// Where a page of a client's invoices ends that ends with it.
    fn place_among_clients(&self) -> Position {
        let (key, id) = (self.key(), self.id.to_string());
        let parts = [
            ("pk", key.pk),
            ("sk", key.sk),
            ("gsi1pk", of_client(self.org, self.client)),
            ("gsi1sk", id),
        ];
        parts.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_time_lie_between_its_first_and_its_last() {
        let now = Time::from_millis(1_799_000_000_000);
        let id = InvoiceId::new(now).to_string();
        assert!(first_id(now) <= id && id <= last_id(now));
        assert!(last_id(now.plus_millis(-1)) < id && id < first_id(now.plus_millis(1)));
        assert!(first_id(Time::from_millis(-5)) <= id && id <= last_id(Time::from_millis(i64::MAX)));
    }
}

//! A payment:             pk ORG#<org>#PAYMENT                 sk <payment>
//! An invoice's:          gsi1pk ORG#<org>#PAYMENT#<invoice>   gsi1sk <payment>
//! Where money of an account is found by what its provider calls it:
//!                        pk ORG#<account>#CHARGE              sk <provider>#<payment, session or charge>
//! What a night's comparison found:   pk ORG#<org>#RECONCILIATION   sk <report>
//! The one that can be paid now:   pk ORG#<org>#TILL           sk <invoice or top-up>

use kernel::policy::ReadBilling;
use kernel::{Error, InvoiceId, OrgId, PaymentId, Result, Scope};
use providers::Provider;
use serde::{Deserialize, Serialize};
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};

use super::{Payment, Purpose};
use crate::reconcile::Report;

/// What a payment is called where it is absent.
pub(crate) const NAME: &str = "payment";

impl Record for Payment {
    const KIND: &'static str = "payment";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn index1(&self) -> Option<Key> {
        let invoice = self.invoice?;
        Some(Key::of(of_invoice(self.org, invoice), self.id.to_string()))
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#PAYMENT")
}

fn key(org: OrgId, id: PaymentId) -> Key {
    Key::of(partition(org), id.to_string())
}

fn of_invoice(org: OrgId, invoice: InvoiceId) -> String {
    format!("{}#{invoice}", partition(org))
}

impl Payment {
    /// Reads a payment of the scope's organization.
    pub async fn load(table: &Table, scope: &Scope<ReadBilling>, id: PaymentId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// What makes it found by what its provider calls its money.
    pub(crate) fn charge_pointer(&self) -> Result<Option<Write>> {
        match self.charge() {
            Some(charge) => Pointer::write(self, charge),
            None => Ok(None),
        }
    }

    /// Reads one page of an organization's payments, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Reads one page of an invoice's, newest first.
    pub async fn list_of(
        table: &Table,
        scope: &Scope<ReadBilling>,
        invoice: InvoiceId,
        slice: Slice,
    ) -> Result<Page<Self>> {
        let query = Query::slice(of_invoice(scope.org(), invoice), slice);
        table.query(query.index1().descending()).await
    }
}

/// Which payment money of an account belongs to, by a name that its provider has for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pointer {
    account: OrgId,
    provider: Provider,
    name: String,
    /// Whose payment.
    pub(crate) org: OrgId,
    /// Which.
    pub(crate) payment: PaymentId,
}

impl Record for Pointer {
    const KIND: &'static str = "charge";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        place(self.account, self.provider, &self.name)
    }
}

fn place(account: OrgId, provider: Provider, name: &str) -> Key {
    Key::of(format!("ORG#{account}#CHARGE"), format!("{provider}#{name}"))
}

impl Pointer {
    /// What makes a payment found by a name; nothing for one by hand.
    pub(crate) fn write(payment: &Payment, name: &str) -> Result<Option<Write>> {
        let pointer = payment.online.as_ref().map(|online| Self {
            account: online.account,
            provider: online.provider,
            name: name.to_owned(),
            org: payment.org,
            payment: payment.id,
        });
        // The same name always means the same payment: whoever writes it again writes the same.
        pointer.as_ref().map(Write::put).transpose()
    }

    /// Finds the payment of an account's money by the first name that is known.
    pub(crate) async fn find(
        table: &Table,
        scope: &Scope<ReadBilling>,
        provider: Provider,
        names: &[String],
    ) -> Result<Option<Self>> {
        for name in names {
            if let Some(found) = table.get(&place(scope.org(), provider, name)).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

impl Record for Report {
    const KIND: &'static str = "reconciliation";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(compared(self.org), self.id.to_string())
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn compared(org: OrgId) -> String {
    format!("ORG#{org}#RECONCILIATION")
}

/// Reads one page of an organization's reports, newest first.
pub(crate) async fn reports(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Report>> {
    table
        .query(Query::slice(compared(scope.org()), slice).descending().consistent())
        .await
}

/// Where something is paid: which payment of it can be paid now. One at most, so that two pages never take the money twice.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Slot {
    org: OrgId,
    subject: String,
    /// Whose session is open, or being opened.
    pub(crate) payment: Option<PaymentId>,
    #[serde(default)]
    version: u64,
}

impl Record for Slot {
    const KIND: &'static str = "till";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        slot_key(self.org, &self.subject)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn slot_key(org: OrgId, subject: &str) -> Key {
    Key::of(format!("ORG#{org}#TILL"), subject)
}

impl Slot {
    /// Reads that of an invoice or a top-up; an empty one if there is none.
    pub(crate) async fn load(table: &Table, scope: &Scope<ReadBilling>, subject: &str) -> Result<Self> {
        let found = table.get(&slot_key(scope.org(), subject)).await?;
        Ok(found.unwrap_or_else(|| Self {
            org: scope.org(),
            subject: subject.to_owned(),
            payment: None,
            version: 0,
        }))
    }

    /// Reads that of a payment.
    pub(crate) async fn of(table: &Table, payment: &Payment) -> Result<Self> {
        let subject = payment.subject().unwrap_or_default();
        Self::load(table, &Scope::system(payment.org), &subject).await
    }

    /// What stores it, if nobody else changed it since it was read.
    pub(crate) fn write(&self) -> Result<Write> {
        Write::save(self)
    }
}

impl Payment {
    /// What its slot is named by; nothing for one by hand.
    pub(crate) fn subject(&self) -> Option<String> {
        match self.online.as_ref()?.purpose {
            Purpose::Invoice => self.invoice.map(|invoice| invoice.to_string()),
            Purpose::Topup { topup, .. } => Some(topup.to_string()),
        }
    }
}

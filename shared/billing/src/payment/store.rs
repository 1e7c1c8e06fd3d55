//! A payment by hand:   pk ORG#<org>#PAYMENT                 sk <payment>
//! An invoice's:        gsi1pk ORG#<org>#PAYMENT#<invoice>   gsi1sk <payment>

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{Error, InvoiceId, OrgId, Result, Scope};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{AHEAD, Payment, PaymentView};
use crate::books::Books;
use crate::invoice::{Invoice, NewPayment};

impl Record for Payment {
    const KIND: &'static str = "payment";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(partition(self.org), self.id.to_string())
    }

    fn index1(&self) -> Option<Key> {
        Some(Key::of(of_invoice(self.org, self.invoice), self.id.to_string()))
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#PAYMENT")
}

fn of_invoice(org: OrgId, invoice: InvoiceId) -> String {
    format!("{}#{invoice}", partition(org))
}

impl Payment {
    /// Records money that came from outside for an invoice and notes it. `Invalid` for more than is due, unless that is
    /// allowed: then the rest goes to the client's balance. 409 where nothing can be paid.
    pub async fn record(
        app: &App,
        scope: &Scope<ManageBilling>,
        id: InvoiceId,
        new: &NewPayment,
    ) -> Result<PaymentView> {
        if new.paid_at > app.now().plus_millis(AHEAD) {
            return Err(Error::invalid("paidAt", "must not lie in the future"));
        }
        again(|| async {
            let before = Invoice::find(&app.table, scope.org(), id).await?;
            let mut books = Books::open(app, scope.org(), before.client).await?;
            let mut invoice = before.clone();
            let rest = books.record(&mut invoice, new)?;
            let payment = Self::of(app.now(), &invoice, new, rest);
            let write = Write::create(&payment)?;
            let change = Change::by(scope.actor(), "payment.recorded", "payment", payment.id);
            let view = PaymentView::from(payment);
            let commit = Commit::by(app, scope)
                .write("payment", write)
                .note(Chain::Org(invoice.org), change.to(json!(view)))
                .reply(Reply::created(&view)?);
            books.book(Some(before), invoice);
            books.close(commit)?.await?;
            Ok(view)
        })
        .await
    }

    /// Reads one page of an organization's payments by hand, newest first.
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

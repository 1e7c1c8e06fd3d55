//! Payments by hand: money from outside that a person recorded on an invoice. They are never changed.

use app::App;
use billing::invoice::NewPayment;
use billing::{Books, Invoice};
use commit::{Commit, Reply, again};
use kernel::policy::ManageBilling;
use kernel::{Error, InvoiceId, Minor, PaymentId, Result, Scope, Time};
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use crate::payment::store::NAME;
use crate::payment::{HistoryEntry, Payment, PaymentView, say};

/// Money may have come so long after now: where it came it may be tomorrow already.
const AHEAD: i64 = Time::DAY;

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
            let before = Invoice::load(&app.table, &scope.narrow()?, id).await?;
            let mut books = Books::open(app, scope.org(), before.client).await?;
            let mut invoice = before.clone();
            let rest = books.record(&mut invoice, new)?;
            let payment = Self::of(app.now(), &invoice, new, rest);
            let view = PaymentView::from(&payment);
            let change = Change::by(scope.actor(), "payment.recorded", NAME, payment.id);
            let commit = Commit::by(app, scope)
                .write(NAME, Write::create(&payment)?)
                .note(Chain::Org(invoice.org), change.to(json!(view)))
                .reply(Reply::created(&view)?)
                .counts("payments", "status", payment.status().name());
            books.book(Some(before), invoice);
            books.close(commit)?.await?;
            Ok(view)
        })
        .await
    }

    /// The payment that a person recorded, of which so much was more than was due.
    fn of(now: Time, invoice: &Invoice, new: &NewPayment, to_balance: Minor) -> Self {
        Self {
            id: PaymentId::new(now),
            org: invoice.org,
            client: Some(invoice.client),
            invoice: Some(invoice.id),
            currency: invoice.currency,
            amount: new.amount,
            to_balance,
            method: Some(new.method),
            paid_at: Some(new.paid_at),
            reference: new.reference.clone(),
            created_at: now,
            online: None,
            version: 0,
        }
    }

    /// What happened to one that a person recorded.
    pub(crate) fn history_by_hand(&self) -> Vec<HistoryEntry> {
        let amount = say(kernel::Money::new(self.amount, self.currency));
        vec![HistoryEntry {
            at: self.created_at,
            text: format!("a member recorded {amount} that came from outside"),
        }]
    }
}

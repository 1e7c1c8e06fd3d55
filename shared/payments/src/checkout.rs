//! Beginning a payment: a saga of three steps, each of which may be the last one that a process does.
//!
//! 1. The payment is stored, with the slot of what it pays and a job that watches it.
//! 2. The provider is asked for a session, under the payment's id: asked again, it gives the same one.
//! 3. The session is stored. If the provider refuses, the payment has failed and its slot is free.
//!
//! Whoever finds a payment without a session (the same person again, another page, the watch) goes on with step 2.

use app::App;
use billing::{Client, Invoice};
use commit::{Commit, NotDone, Reply, again};
use identity::Org;
use kernel::policy::{ManageBilling, ReadBilling, ReadOrg};
use kernel::{Error, InvoiceId, Minor, Money, OrgId, Origin, PaymentId, Result, Scope, Time};
use metering::topup::TopupStatus;
use providers::{Checkout, Closed, Customer, NotChargeable, Provider, Providers, Session, Sought};
use serde::Serialize;
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use crate::account::Opened;
use crate::payment::store::{NAME, Pointer, Slot};
use crate::payment::{Online, Payment, PaymentView, Purpose, Stage};
use crate::reconcile;
use crate::refusal::CannotPay;
use crate::sync::{self, Hint};
use crate::till::{Till, Undone};
use crate::watch::Watch;

/// A session can be paid for so long, if its provider lets it: nearly the day that Stripe allows.
const OPEN_FOR: i64 = 23 * Time::HOUR;
/// A session that ends so soon is no use to somebody who begins to pay.
const TOO_SHORT: i64 = 5 * Time::MINUTE;
/// Somebody else opens the session of a payment that began so recently.
const BEING_OPENED: i64 = 20 * Time::SECOND;

/// Who begins a payment.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// A member of the organization that is paid.
    Member(&'a Scope<ManageBilling>),
    /// Whoever has the link.
    Payer(&'a Origin),
}

impl By<'_> {
    /// Whether a request that is sent again goes on with this payment.
    fn resumes(self, payment: PaymentId) -> bool {
        matches!(self, Self::Member(scope) if scope.origin().resumed() == Some(&payment.to_string()))
    }
}

/// A payment that somebody can make now.
#[derive(Clone, Debug)]
pub struct Started {
    /// The payment.
    pub payment: Payment,
    /// Our page.
    pub page: String,
    /// The provider's page.
    pub url: String,
    /// Whether it was begun by this.
    pub is_new: bool,
}

/// A payment that was begun, as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartedView {
    /// The payment.
    pub payment: PaymentView,
    /// Our page on which it is paid, without a login. It lives as long as what is paid.
    #[schema(example = "https://api.example.com/pay/AQAAAAAAAAAAAAAAAAAAAAEBkHQ")]
    pub payment_url: String,
}

impl From<Started> for StartedView {
    fn from(started: Started) -> Self {
        Self {
            payment: started.payment.into(),
            payment_url: started.page,
        }
    }
}

/// What somebody wants to pay, and where.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Who gets the money.
    pub org: OrgId,
    /// What for.
    pub what: What,
    /// Where.
    pub provider: Provider,
}

/// What is paid.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// So much of an invoice; all that is due unless less is asked for.
    Invoice(InvoiceId, Option<Minor>),
    /// Credits that an organization buys of the platform.
    Topup {
        /// Who buys.
        org: OrgId,
        /// Which top-up of its wallet.
        topup: PaymentId,
    },
}

/// What is to be paid, as it was read.
#[derive(Clone, Debug)]
struct Bill {
    org: OrgId,
    purpose: Purpose,
    invoice: Option<Invoice>,
    money: Money,
    description: String,
    customer: Customer,
    /// Our page, where people come back to.
    page: String,
}

impl Asked {
    /// What its slot is named by.
    fn subject(&self) -> String {
        match self.what {
            What::Invoice(invoice, _) => invoice.to_string(),
            What::Topup { topup, .. } => topup.to_string(),
        }
    }

    /// Reads what is to be paid. 409 where nothing can be, 422 for what its provider cannot take.
    async fn bill(&self, app: &App, till: &Till) -> Result<Bill> {
        let bill = match self.what {
            What::Invoice(invoice, amount) => Bill::of_invoice(app, till, self.org, invoice, amount).await?,
            What::Topup { org, topup } => Bill::of_topup(app, till, self.org, org, topup).await?,
        };
        bill.fits(self.provider)?;
        Ok(bill)
    }
}

impl Bill {
    async fn of_invoice(app: &App, till: &Till, org: OrgId, id: InvoiceId, amount: Option<Minor>) -> Result<Self> {
        let read = Scope::<ReadBilling>::system(org);
        let invoice = Invoice::load(&app.table, &read, id).await?;
        invoice.open()?;
        let due = invoice.amount_due();
        let amount = amount.unwrap_or(due);
        if amount <= Minor::ZERO || amount > due {
            return Err(Error::invalid(
                "amount",
                format!("must be 1 to {}, what is due", due.get()),
            ));
        }
        let client = Client::load_even_deleted(&app.table, &read, invoice.client).await?;
        let seller = Org::load(&app.table, &Scope::<ReadOrg>::system(org)).await?;
        let token = Invoice::token_of(app, org, id).await?;
        let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
        let profile = client.profile;
        Ok(Self {
            org,
            purpose: Purpose::Invoice,
            money: Money::new(amount, invoice.currency),
            description: format!("{number} · {}", seller.name),
            customer: Customer {
                id: client.id.to_string(),
                name: profile.name,
                email: profile.email,
                phone: profile.phone,
            },
            page: till.links.page(&token),
            invoice: Some(invoice),
        })
    }

    async fn of_topup(app: &App, till: &Till, seller: OrgId, buyer: OrgId, id: PaymentId) -> Result<Self> {
        let topup = metering::topup::load(&app.table, buyer, id).await?;
        if topup.status == TopupStatus::Succeeded {
            return Err(CannotPay::ToppedUp.into());
        }
        let token = topup.token().ok_or(CannotPay::NoPage)?;
        let org = Org::load(&app.table, &Scope::<ReadOrg>::system(buyer)).await?;
        Ok(Self {
            org: seller,
            purpose: Purpose::Topup { org: buyer, topup: id },
            invoice: None,
            money: topup.price,
            description: format!("{} credits · {}", topup.credits, org.name),
            customer: Customer {
                id: buyer.to_string(),
                name: org.name,
                email: String::new(),
                phone: None,
            },
            page: till.links.page(&token),
        })
    }

    /// Whether a provider can take it.
    fn fits(&self, provider: Provider) -> Result<()> {
        Providers::chargeable(provider, self.money).map_err(not_chargeable)?;
        if provider.needs_phone() && self.customer.phone.is_none() {
            let problem = format!("is what {} wants of the client, who has none", provider.title());
            return Err(Error::InvalidAs {
                code: "phone_required",
                field: "phone",
                problem,
            });
        }
        Ok(())
    }

    /// The payment of it, which is to be stored.
    fn payment(&self, now: Time, account: &Opened, by: By<'_>) -> Payment {
        let (id, provider) = (PaymentId::new(now), account.credentials.provider());
        let checkout = Checkout {
            payment: id,
            money: self.money,
            description: self.description.clone(),
            customer: self.customer.clone(),
            return_url: format!("{}?payment={id}", self.page),
            expires_at: now.plus_millis(OPEN_FOR),
        };
        let mut online = Online::new(provider, account.owner, self.purpose, checkout);
        let began = match by {
            By::Member(_) => "begun by a member",
            By::Payer(_) => "begun on the payment page",
        };
        online.note(now, format!("{began}; {} is asked for a page", provider.title()));
        Payment {
            client: self.invoice.as_ref().map(|invoice| invoice.client),
            invoice: self.invoice.as_ref().map(|invoice| invoice.id),
            ..Payment::begun(now, self.org, online)
        }
    }
}

/// An amount that a provider cannot take.
pub(crate) fn not_chargeable(why: NotChargeable) -> Error {
    Error::InvalidAs {
        code: "amount_not_chargeable",
        field: "amount",
        problem: why.0,
    }
}

/// Begins to pay something, or goes on with what was begun: at most one session of it is open. 409 while another payment
/// of it is on its way, and where the organization cannot be paid.
pub async fn pay(app: &App, till: &Till, by: By<'_>, asked: Asked) -> Result<Started> {
    // Before anything else: whoever cannot be paid there need not know more.
    let account = till.account(app, asked.org, asked.provider).await?;
    let open = || async {
        let (bill, payment, is_new) = begin(app, till, by, &account, asked).await?;
        Box::pin(go_on(app, till, by, &account, &bill, payment, is_new)).await
    };
    if let Some(started) = open().await? {
        return Ok(started);
    }
    // What was in the way is closed. If there is something again, somebody else begins at the same time.
    let started = open().await?;
    started.ok_or(Error::InFlight { retry_after_seconds: 1 })
}

/// Stores a payment, unless one of the same thing is open already: that is given.
async fn begin(app: &App, till: &Till, by: By<'_>, account: &Opened, asked: Asked) -> Result<(Bill, Payment, bool)> {
    let read = Scope::<ReadBilling>::system(asked.org);
    again(|| async {
        let mut slot = Slot::load(&app.table, &read, &asked.subject()).await?;
        let bill = asked.bill(app, till).await?;
        if let Some(open) = slot.payment {
            let open = Payment::load(&app.table, &read, open).await?;
            return Ok((bill, open, false));
        }
        let payment = bill.payment(app.now(), account, by);
        slot.payment = Some(payment.id);
        store(app, by, &bill, &slot, &payment).await?;
        Ok((bill, payment, true))
    })
    .await
}

/// Step 1.
async fn store(app: &App, by: By<'_>, bill: &Bill, slot: &Slot, payment: &Payment) -> Result<(), NotDone> {
    let mut commit = match by {
        By::Member(scope) => {
            let change = Change::by(scope.actor(), "payment.started", NAME, payment.id);
            let change = change.to(json!({
                "invoice": payment.invoice, "amount": payment.amount, "currency": payment.currency,
                "provider": payment.online.as_ref().map(|online| online.provider),
            }));
            Commit::by(app, scope).note(Chain::Org(payment.org), change)
        }
        By::Payer(origin) => Commit::of(app, origin),
    };
    if let Some(invoice) = &bill.invoice {
        // It is still what can be paid, and so much of it.
        commit = commit.write("invoice", Write::check(invoice));
    }
    let pointer = Pointer::write(payment, &payment.id.to_string())?;
    commit
        .write(NAME, Write::create(payment)?)
        .write("till", slot.write()?)
        .write_all("pointer", pointer)
        .later(&Watch::of(payment), Watch::first(payment))?
        .begins(payment.id.to_string())
        .await
}

/// Goes on with a payment that is open: gives its session if it is what was asked for, else closes it, and nothing.
async fn go_on(
    app: &App,
    till: &Till,
    by: By<'_>,
    account: &Opened,
    bill: &Bill,
    payment: Payment,
    is_new: bool,
) -> Result<Option<Started>> {
    let Some(online) = &payment.online else {
        return Err(CannotPay::UnderWay.into());
    };
    let is_same = online.checkout.money == bill.money
        && online.provider == account.credentials.provider()
        && online.account == account.owner;
    let now = app.now();
    let lives = |session: &Session| now.plus_millis(TOO_SHORT) < session.expires_at;
    match (&online.session, online.stage) {
        (Some(session), Stage::Open) if is_same && lives(session) => {
            return Ok(Some(Started {
                page: bill.page.clone(),
                url: session.url.clone(),
                payment,
                is_new: false,
            }));
        }
        (None, Stage::Opening) => {
            let is_mine = is_new || by.resumes(payment.id);
            if !is_mine && now < payment.created_at.plus_millis(BEING_OPENED) {
                return Err(Error::InFlight { retry_after_seconds: 5 });
            }
            if is_same {
                return open(app, till, by, &bill.page, payment).await.map(Some);
            }
        }
        (_, Stage::Processing) => return Err(CannotPay::UnderWay.into()),
        _ => {}
    }
    give_way(app, till, &payment).await?;
    Ok(None)
}

/// Steps 2 and 3.
async fn open(app: &App, till: &Till, by: By<'_>, page: &str, payment: Payment) -> Result<Started> {
    let opened = ask_for_session(app, till, &payment).await;
    let session = match opened {
        Ok(session) => session,
        Err(Undone::Refused(why)) => {
            end(app, till, payment.org, payment.id, |online, now| {
                online.fail(now, &format!("the provider refused: {why}"));
            })
            .await?;
            return Err(Error::refused("provider_refused", why));
        }
        Err(Undone::Unknown(why)) => return Err(Error::Away(why)),
    };
    let (payment, session) = store_session(app, by, page, payment, &session).await?;
    if let Some(online) = &payment.online {
        reconcile::ensure(app, online.account, online.provider).await?;
    }
    Ok(Started {
        payment,
        page: page.to_owned(),
        url: session.url,
        is_new: true,
    })
}

async fn ask_for_session(app: &App, till: &Till, payment: &Payment) -> Result<Session, Undone> {
    let Some(online) = &payment.online else {
        return Err(Undone::Refused("it is no payment by a provider".to_owned()));
    };
    let account = till.account(app, online.account, online.provider).await;
    let account = account.map_err(|error| match error {
        Error::Refused { detail, .. } => Undone::Refused(detail),
        error => Undone::Unknown(error.to_string()),
    })?;
    let checkout = &online.checkout;
    till.ask(app, &account, |providers, credentials| {
        providers.open(credentials, checkout)
    })
    .await
}

/// Goes on with a payment that has no session: what whoever began it did not finish.
pub(crate) async fn resume(app: &App, till: &Till, payment: Payment) -> Result<()> {
    let origin = Origin::default();
    match open(app, till, By::Payer(&origin), "", payment).await {
        Ok(_) | Err(Error::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Step 3: stores the session, unless somebody else has.
async fn store_session(
    app: &App,
    by: By<'_>,
    page: &str,
    payment: Payment,
    session: &Session,
) -> Result<(Payment, Session)> {
    let (org, id) = (payment.org, payment.id);
    again(|| async {
        let scope = Scope::<ReadBilling>::system(org);
        let mut payment = Payment::load(&app.table, &scope, id).await?;
        let pointer = Pointer::write(&payment, &session.id)?;
        let Some(online) = payment.online.as_mut().filter(|online| online.session.is_none()) else {
            let known = payment.online.as_ref().and_then(|online| online.session.clone());
            let known = known.unwrap_or_else(|| session.clone());
            return Ok((payment, known));
        };
        online.session = Some(session.clone());
        if online.stage == Stage::Opening {
            online.stage = Stage::Open;
        }
        let title = online.provider.title();
        online.note(app.now(), format!("{title} opened the page {}", session.id));
        let view = StartedView {
            payment: PaymentView::from(&payment),
            payment_url: page.to_owned(),
        };
        let commit = match by {
            By::Member(scope) => Commit::by(app, scope).reply(Reply::created(&view)?),
            By::Payer(origin) => Commit::of(app, origin),
        };
        commit
            .write(NAME, Write::replace(&payment)?)
            .write_all("pointer", pointer)
            .await?;
        Ok((payment, session.clone()))
    })
    .await
}

/// Closes what is open, so that something else can be opened: the provider is asked first, for somebody may have paid.
pub(crate) async fn give_way(app: &App, till: &Till, payment: &Payment) -> Result<()> {
    let Some(online) = &payment.online else {
        return Ok(());
    };
    if online.session.is_none() && online.stage == Stage::Opening {
        // Nobody knows whether there is one: it has to be opened to be closed.
        resume(app, till, payment.clone()).await?;
    }
    let payment = Payment::load(&app.table, &Scope::system(payment.org), payment.id).await?;
    let Some((online, session)) = payment.open_session() else {
        return Ok(());
    };
    let account = till.account(app, online.account, online.provider).await?;
    let sought = Sought {
        payment: payment.id,
        session: session.id.clone(),
        charge: None,
        dispute: None,
    };
    let closed = till.ask(app, &account, |providers, credentials| {
        providers.close(credentials, &sought)
    });
    match closed.await {
        Ok(Closed::Unpaid) => {
            end(app, till, payment.org, payment.id, |online, now| {
                online.lapse(now, "closed before anybody paid");
            })
            .await
        }
        Ok(Closed::Used) => {
            let now = sync::look(app, till, payment.org, payment.id, &Hint::default()).await?;
            match now.online.map(|online| online.stage) {
                Some(Stage::Failed) => Ok(()),
                _ => Err(CannotPay::UnderWay.into()),
            }
        }
        Err(Undone::Refused(why)) => Err(Error::refused("provider_refused", why)),
        Err(Undone::Unknown(why)) => Err(Error::Away(why)),
    }
}

/// Ends a payment that nobody paid, by our own doing.
async fn end(app: &App, till: &Till, org: OrgId, id: PaymentId, how: impl Fn(&mut Online, Time)) -> Result<()> {
    again(|| async {
        let before = Payment::load(&app.table, &Scope::system(org), id).await?;
        let mut after = before.clone();
        if let Some(online) = &mut after.online {
            how(online, app.now());
            online.ended_by_us = true;
        }
        sync::store(app, till, before, after, Vec::new()).await?;
        Ok(())
    })
    .await
}

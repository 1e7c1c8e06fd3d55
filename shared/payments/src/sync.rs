//! Looking at a payment at its provider, and booking what came of it: the one way in which money counts. An event, the
//! watch, somebody who comes back to our page, a comparison at night: all of them only cause a look.
//!
//! What was seen is booked on the payment as it was read before the look. If somebody else has booked since, it is looked at
//! again: so what was seen earlier never overwrites what was seen later.

use app::App;
use billing::{Books, Invoice};
use commit::{Commit, NotDone, again_patiently};
use kernel::policy::ReadBilling;
use kernel::{Error, Minor, Money, OrgId, Origin, PaymentId, Result, Scope};
use metering::topup::{self, Paid};
use providers::{Dispute, Seen, Sought};
use table::Write;

use crate::payment::facts::{
    News, PaymentDisputed, PaymentFailed, PaymentRefunded, PaymentSucceeded, PaymentUnapplied, news,
};
use crate::payment::store::{NAME, Slot};
use crate::payment::{KEPT, Online, Payment, Purpose, Stage, say};
use crate::till::{Till, Undone};

/// What an event named, for providers that do not list all there is.
#[derive(Clone, Debug, Default)]
pub struct Hint {
    /// An attempt to pay.
    pub charge: Option<String>,
    /// A dispute as it was then.
    pub dispute: Option<Dispute>,
}

/// Looks at a payment at its provider and books what came of it. `Away` if the provider does not answer.
pub async fn look(app: &App, till: &Till, org: OrgId, id: PaymentId, hint: &Hint) -> Result<Payment> {
    let (payment, is_bought) = look_once(app, till, org, id, hint).await?;
    if is_bought {
        // What came is booked by itself; what has gone of it already is seen by another look.
        return Ok(look_once(app, till, org, id, hint).await?.0);
    }
    Ok(payment)
}

/// Looks once. With the payment, whether credits were bought by what was seen.
async fn look_once(app: &App, till: &Till, org: OrgId, id: PaymentId, hint: &Hint) -> Result<(Payment, bool)> {
    again_patiently(|| async {
        let before = Payment::load(&app.table, &Scope::<ReadBilling>::system(org), id).await?;
        let Some(online) = before.online.as_ref().filter(|online| online.session.is_some()) else {
            return Ok((before, false));
        };
        let buys = matches!(online.purpose, Purpose::Topup { .. }) && !before.is_received();
        let seen = see(app, till, online, id, hint).await?;
        let after = book(app, till, before, &seen).await?;
        let is_bought = buys && after.is_received();
        Ok((after, is_bought))
    })
    .await
}

/// Asks the provider.
async fn see(app: &App, till: &Till, online: &Online, id: PaymentId, hint: &Hint) -> Result<Seen> {
    let session = online
        .session
        .as_ref()
        .map(|session| session.id.clone())
        .unwrap_or_default();
    let sought = Sought {
        payment: online.checkout.payment,
        session,
        charge: hint.charge.clone().or_else(|| online.charge.clone()),
        dispute: hint.dispute.clone(),
    };
    let account = till.account(app, online.account, online.provider).await?;
    let seen = till.ask(app, &account, |providers, credentials| {
        providers.look(credentials, &sought)
    });
    match seen.await {
        Ok(seen) => Ok(seen),
        Err(Undone::Unknown(why)) => Err(Error::Away(why)),
        Err(Undone::Refused(why)) => {
            let detail = format!("{} does not show the payment {id}: {why}", online.provider.title());
            Err(Error::refused("provider_refused", detail))
        }
    }
}

/// Books what was seen of a payment.
async fn book(app: &App, till: &Till, before: Payment, seen: &Seen) -> Result<Payment, NotDone> {
    let mut after = before.clone();
    let Some(online) = &mut after.online else {
        return Ok(before);
    };
    let others = online.fold(app.now(), seen);
    // One that came besides is not asked what came besides: it would find the one that it came besides.
    let others = others.iter().filter(|_| !after.came_besides());
    let others = others.filter_map(|charge| after.besides(app.now(), charge));
    let others = others.collect();
    store(app, till, before, after, others).await
}

/// Stores a payment as it became, with what follows from that: the invoice, the facts, the slot. `others` are payments of
/// the same session that are to be stored if they are not there.
pub(crate) async fn store(
    app: &App,
    till: &Till,
    before: Payment,
    after: Payment,
    others: Vec<Payment>,
) -> Result<Payment, NotDone> {
    // On the heap: it is a part of every deed's.
    Box::pin(stored(app, till, before, after, others)).await
}

async fn stored(
    app: &App,
    till: &Till,
    before: Payment,
    mut after: Payment,
    others: Vec<Payment>,
) -> Result<Payment, NotDone> {
    if after == before && others.is_empty() {
        return Ok(after);
    }
    let mut commit = Commit::of(app, &Origin::default());
    commit = settle(app, till, commit, &before, &mut after).await?;
    if after.paid_at.is_none() && after.is_received() {
        after.paid_at = Some(app.now());
    }
    for mut other in others {
        let scope = Scope::<ReadBilling>::system(other.org);
        if let Err(Error::NotFound(_)) = Payment::load(&app.table, &scope, other.id).await {
            commit = tell(commit, None, &mut other)?;
            let pointer = other.charge_pointer()?;
            commit = commit
                .write("other", Write::create(&other)?)
                .write_all("pointer", pointer);
        }
    }
    commit = tell(commit, Some(&before), &mut after)?;
    if after.charge() != before.charge() {
        commit = commit.write_all("pointer", after.charge_pointer()?);
    }
    commit = free_slot(app, commit, &after).await?;
    if after != before {
        commit = commit.write(NAME, Write::replace(&after)?);
    }
    commit.await?;
    Ok(after)
}

/// Once nobody can pay there any more, something else may be opened.
async fn free_slot<'a>(app: &App, commit: Commit<'a>, payment: &Payment) -> Result<Commit<'a>> {
    let is_open = payment
        .online
        .as_ref()
        .is_some_and(|online| !matches!(online.stage, Stage::Failed | Stage::Received));
    if is_open {
        return Ok(commit);
    }
    let mut slot = Slot::of(&app.table, payment).await?;
    if slot.payment != Some(payment.id) {
        return Ok(commit);
    }
    slot.payment = None;
    Ok(commit.write("till", slot.write()?))
}

/// Applies what came to what is paid, and takes back what was lost.
async fn settle<'a>(
    app: &'a App,
    till: &Till,
    commit: Commit<'a>,
    before: &Payment,
    after: &mut Payment,
) -> Result<Commit<'a>> {
    let (Some(old), Some(new)) = (&before.online, &mut after.online) else {
        return Ok(commit);
    };
    if let Purpose::Topup { org, topup } = new.purpose {
        let asked = Money::new(after.amount, after.currency);
        if new.stage == Stage::Failed && old.stage != Stage::Failed && !new.ended_by_us {
            return topup::failed(app, &till.desk, commit, org, topup).await;
        }
        return settle_topup(app, commit, (org, topup), asked, old, new).await;
    }
    let came = old.received.is_none().then_some(new.received).flatten();
    let back = new.refunded() - old.refunded();
    let lost = new.lost().min(new.applied);
    if came.is_none() && back == Minor::ZERO && lost == new.taken_back {
        return Ok(commit);
    }
    match (new.purpose, after.invoice) {
        (Purpose::Invoice, Some(id)) => {
            let asked = Money::new(after.amount, after.currency);
            let invoice = Invoice::load(&app.table, &Scope::<ReadBilling>::system(after.org), id).await?;
            settle_invoice(app, commit, invoice, asked, new, Moved { came, back }).await
        }
        _ => Ok(commit),
    }
}

/// What money moved.
struct Moved {
    /// What came.
    came: Option<Money>,
    /// What went back, or came back of what had seemed to.
    back: Minor,
}

async fn settle_invoice<'a>(
    app: &'a App,
    commit: Commit<'a>,
    before: Invoice,
    asked: Money,
    online: &mut Online,
    moved: Moved,
) -> Result<Commit<'a>> {
    let now = app.now();
    let mut books = Books::open(app, before.org, before.client).await?;
    let mut invoice = before.clone();
    let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
    if let Some(money) = moved.came {
        if let Some(why) = why_unapplied(&invoice, asked, money) {
            online.note(now, format!("{KEPT}{why}"));
        } else {
            let rest = books.receive(&mut invoice, money.minor)?;
            online.applied = money.minor - rest;
            let applied = say(Money::new(online.applied, money.currency));
            online.note(now, format!("{applied} applied to {number}"));
            if rest > Minor::ZERO {
                let rest = say(Money::new(rest, money.currency));
                online.note(now, format!("{rest} is more than was due: kept, and can be given back"));
            }
        }
    }
    if online.applied > Minor::ZERO {
        invoice.give_back(moved.back);
    }
    let lost = online.lost().min(online.applied);
    let more = lost - online.taken_back;
    if more > Minor::ZERO {
        books.lose(&mut invoice, more);
        let more = say(Money::new(more, asked.currency));
        online.note(now, format!("{more} is due again on {number}"));
        online.taken_back = lost;
    } else if more < Minor::ZERO && invoice.open().is_ok() {
        // What was lost is won after all.
        let rest = books.receive(&mut invoice, -more)?;
        online.taken_back = lost + rest;
    }
    if invoice == before {
        return Ok(commit);
    }
    books.book(Some(before), invoice);
    books.close(commit)
}

/// Grants the credits that were paid for, once, and takes them back with the money.
async fn settle_topup<'a>(
    app: &'a App,
    mut commit: Commit<'a>,
    (org, topup): (OrgId, PaymentId),
    asked: Money,
    old: &Online,
    new: &mut Online,
) -> Result<Commit<'a>> {
    let now = app.now();
    if let Some(money) = old.received.is_none().then_some(new.received).flatten() {
        if money != asked {
            new.note(now, format!("{KEPT}{} was asked for", say(asked)));
            return Ok(commit);
        }
        // Taken back by the look that follows.
        new.refunds.clear();
        new.disputes.clear();
        let paid;
        (commit, paid) = topup::paid(app, commit, org, topup).await?;
        if paid == Paid::Now {
            new.applied = money.minor;
            new.note(now, "the credits are in the wallet");
        } else {
            new.note(now, format!("{KEPT}the credits were in the wallet already"));
        }
        return Ok(commit);
    }
    let gone = |online: &Online| online.refunded() + online.lost();
    if new.applied == Minor::ZERO || gone(new) == gone(old) {
        return Ok(commit);
    }
    let bought = topup::load(&app.table, org, topup).await?;
    new.taken_back = new.lost().min(new.applied);
    new.note(now, "the credits that it paid for are taken back with it");
    topup::take_back(app, commit, org, topup, bought.worth(gone(new))).await
}

/// Why money is not applied to an invoice, if it is not.
fn why_unapplied(invoice: &Invoice, asked: Money, money: Money) -> Option<String> {
    if money != asked {
        return Some(format!("{} was asked for", say(asked)));
    }
    invoice.open().err().map(|why| why.to_string())
}

fn tell<'a>(mut commit: Commit<'a>, before: Option<&Payment>, after: &mut Payment) -> Result<Commit<'a>> {
    if before.map(Payment::status) != Some(after.status()) {
        commit = commit.counts("payments", "status", after.status().name());
    }
    for news in news(before, after) {
        let told = after.next_fact();
        commit = match news {
            News::Succeeded => commit.tell(&PaymentSucceeded(told)),
            News::Failed => commit.tell(&PaymentFailed(told)),
            News::Refunded => commit.tell(&PaymentRefunded(told)),
            News::Disputed => commit.tell(&PaymentDisputed(told)),
            News::Unapplied => commit.tell(&PaymentUnapplied(told)),
        }?;
    }
    Ok(commit)
}

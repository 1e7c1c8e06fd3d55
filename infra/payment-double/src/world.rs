//! What there is: accounts, sessions with their charges, refunds and disputes, webhooks, calls; and what happens to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{cashfree, razorpay, stripe};

/// The most calls and webhooks that are remembered.
const MOST: usize = 100_000;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `/stripe`.
    Stripe,
    /// `/razorpay`.
    Razorpay,
    /// `/cashfree/pg`.
    Cashfree,
}

impl Provider {
    /// Where its API is.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Stripe => "/stripe",
            Self::Razorpay => "/razorpay",
            Self::Cashfree => "/cashfree/pg",
        }
    }

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Razorpay => "razorpay",
            Self::Cashfree => "cashfree",
        }
    }
}

/// An account: where its webhooks go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Account {
    /// Whose.
    pub provider: Provider,
    /// What its calls log in with: the secret key, the key id, the client id.
    pub key: String,
    /// Where its webhooks go.
    pub webhook_url: String,
    /// What signs them; at Cashfree the client secret.
    pub webhook_secret: String,
}

/// What a person, a bank or time does to a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    tag = "do",
    rename_all = "snake_case",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Act {
    /// Pays; of another amount or in another currency if it says so, in the provider's units.
    Pay {
        /// Another amount.
        #[serde(default)]
        units: Option<i64>,
        /// Another currency.
        #[serde(default)]
        currency: Option<String>,
    },
    /// Tries to pay, and is declined.
    Fail,
    /// Leaves the page.
    Cancel,
    /// Pays by a slow method: the money is on its way. At Razorpay it is authorized, and nobody captures it.
    Delay,
    /// What was on its way arrives; so does, at Razorpay and Cashfree, what had failed.
    Settle,
    /// What was on its way does not arrive.
    Bounce,
    /// Time is up.
    Expire,
    /// Whoever paid contests it.
    Dispute {
        /// How much of it, in the provider's units; all that is left of it if not said.
        #[serde(default)]
        units: Option<i64>,
    },
    /// The dispute is decided.
    Decide {
        /// How.
        verdict: Verdict,
    },
    /// A refund ends, or ends another way than before.
    Refund {
        /// The provider's id of it, or ours.
        refund: String,
        /// How.
        end: RefundEnd,
    },
}

/// How a dispute ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The money stays.
    Won,
    /// The money is gone.
    Lost,
    /// It came to nothing.
    Closed,
}

/// How far a refund gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundEnd {
    /// It stays on its way.
    Pending,
    /// The money goes back.
    Succeeded,
    /// It does not.
    Failed,
}

/// How webhooks flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Each at once, in order.
    Prompt,
    /// Each two seconds late.
    Late,
    /// Each twice.
    Repeated,
    /// Those of one happening in reverse.
    Reversed,
    /// None until it is released.
    Held,
}

/// What calls are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A session is opened.
    Open,
    /// A session is closed.
    Close,
    /// Money is given back.
    Refund,
    /// Money is captured.
    Capture,
    /// Anything is read.
    Look,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 500; Stripe keeps it under the key.
    Error,
    /// The connection breaks.
    Lost,
    /// The answer takes half a minute.
    Slow,
    /// 429.
    Busy,
    /// 409, as if another call with the key were under way.
    Conflict,
    /// 409 of Stripe, which says in a header that asking again is of use.
    Retry,
    /// 429 of Stripe, which says in a header that asking again is of no use.
    Never,
}

/// A call that goes wrong.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Of which provider; of any if not said.
    #[serde(default)]
    pub provider: Option<Provider>,
    /// Which calls; any if not said.
    #[serde(default)]
    pub on: Option<Operation>,
    /// What.
    pub kind: FaultKind,
    /// Whether it is done all the same.
    #[serde(default)]
    pub done: bool,
    /// How many calls.
    #[serde(default = "once")]
    pub times: u32,
}

fn once() -> u32 {
    1
}

/// What really happened to a payment of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Pages.
    pub sessions: usize,
    /// Times that money came.
    pub charges: usize,
    /// How much of it, in the provider's units.
    pub charged: i64,
    /// Times that money went back, or is on its way.
    pub refunds: usize,
    /// How much of it.
    pub refunded: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SessionState {
    Open,
    Complete,
    Expired,
    Cancelled,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) provider: Provider,
    pub(crate) account: String,
    pub(crate) id: String,
    pub(crate) reference: String,
    /// The payment intent, or the order.
    pub(crate) order: String,
    pub(crate) units: i64,
    pub(crate) currency: String,
    pub(crate) description: String,
    pub(crate) customer: Value,
    pub(crate) notes: Value,
    pub(crate) return_url: String,
    pub(crate) created: i64,
    pub(crate) expires_at: i64,
    pub(crate) state: SessionState,
    pub(crate) url: String,
    pub(crate) charges: Vec<Charge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChargeState {
    Processing,
    Succeeded,
    Failed,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) state: ChargeState,
    pub(crate) units: i64,
    pub(crate) currency: String,
    pub(crate) created: i64,
    pub(crate) refunds: Vec<Refund>,
    pub(crate) disputes: Vec<Dispute>,
}

impl Charge {
    /// What went back of it, or is on its way.
    pub(crate) fn refunded(&self) -> i64 {
        let back = self.refunds.iter().filter(|refund| refund.state != RefundEnd::Failed);
        back.map(|refund| refund.units).sum()
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Refund {
    pub(crate) id: String,
    /// What whoever asked calls it.
    pub(crate) reference: String,
    pub(crate) state: RefundEnd,
    pub(crate) units: i64,
    pub(crate) notes: Value,
    pub(crate) created: i64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Dispute {
    pub(crate) id: String,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) units: i64,
    pub(crate) created: i64,
}

/// What is sent about something that happened.
pub(crate) struct News {
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WebhookState {
    Held,
    Waiting,
    Sent,
    Failed,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) id: String,
    pub(crate) provider: Provider,
    pub(crate) account: String,
    pub(crate) kind: String,
    pub(crate) body: String,
    pub(crate) state: WebhookState,
    /// In milliseconds of the machine.
    pub(crate) due: i64,
    pub(crate) attempts: Vec<u16>,
}

pub(crate) struct Call {
    pub(crate) provider: Provider,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) sha256: String,
    pub(crate) status: u16,
}

/// A reply that is kept under an idempotency key of an account.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) slot: (Provider, String, String),
    pub(crate) fingerprint: String,
    pub(crate) reply: (u16, String),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) url: String,
    made: u64,
    /// Those are registered anew.
    #[serde(skip)]
    accounts: BTreeMap<(Provider, String), Account>,
    /// Of Razorpay's keys, which sign what its page sends back. Never in a file.
    #[serde(skip)]
    pub(crate) key_secrets: BTreeMap<String, String>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) kept: Vec<Kept>,
    #[serde(skip)]
    pub(crate) faults: Vec<Fault>,
    pub(crate) flow: Flow,
    pub(crate) refund_end: RefundEnd,
    pub(crate) outgoing: Vec<Webhook>,
    #[serde(skip)]
    pub(crate) seen: Vec<Call>,
    /// Where all this is kept, if anywhere.
    #[serde(skip)]
    file: Option<PathBuf>,
}

impl World {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            made: 0,
            accounts: BTreeMap::new(),
            key_secrets: BTreeMap::new(),
            sessions: Vec::new(),
            kept: Vec::new(),
            faults: Vec::new(),
            flow: Flow::Prompt,
            refund_end: RefundEnd::Succeeded,
            outgoing: Vec::new(),
            seen: Vec::new(),
            file: None,
        }
    }

    /// What a file holds; nothing if there is none, or one of an older double.
    pub(crate) fn read(file: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(file).ok()?).ok()
    }

    /// Keeps all this in a file from now on.
    pub(crate) fn keep_in(&mut self, file: PathBuf) {
        self.file = Some(file);
        self.save();
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn save(&self) {
        let Some(file) = &self.file else { return };
        let next = file.with_extension("next");
        // A double that cannot write goes on: it forgets when it stops, and no more.
        if let Ok(bytes) = serde_json::to_vec(self)
            && std::fs::write(&next, bytes).is_ok()
        {
            let _ = std::fs::rename(&next, file);
        }
    }

    pub(crate) fn register(&mut self, account: Account) {
        self.accounts.insert((account.provider, named(&account.key)), account);
    }

    /// An account by its name.
    pub(crate) fn account(&self, provider: Provider, name: &str) -> Option<&Account> {
        self.accounts.get(&(provider, name.to_owned()))
    }

    /// A new id, that no other double makes.
    pub(crate) fn new_id(&mut self, prefix: &str) -> String {
        self.made += 1;
        let random = uuid::Uuid::new_v4().simple().to_string();
        format!("{prefix}{:06}{}", self.made, &random[..14])
    }

    /// A new number, for what Cashfree numbers.
    pub(crate) fn new_number(&mut self) -> i64 {
        self.made += 1;
        let random = i64::from(uuid::Uuid::new_v4().as_fields().0);
        1_000_000_000 + random * 100_000 + i64::try_from(self.made % 100_000).unwrap_or(0)
    }

    pub(crate) fn page(&self, provider: Provider, id: &str) -> String {
        format!("{}/hosted/{}/{id}", self.url, provider.name())
    }

    /// A session, by the provider's id or our reference; the newest of several.
    pub(crate) fn place(&self, session: &str) -> Option<usize> {
        let is = |it: &Session| it.id == session || it.reference == session;
        self.sessions.iter().rposition(is)
    }

    /// Ends what is over.
    pub(crate) fn expire(&mut self, now: i64) {
        for place in 0..self.sessions.len() {
            let session = &self.sessions[place];
            if session.state == SessionState::Open && session.expires_at * 1_000 <= now {
                self.end(place, SessionState::Expired, now);
            }
        }
    }

    /// Ends a session unpaid, and tells it.
    pub(crate) fn end(&mut self, place: usize, state: SessionState, now: i64) {
        let session = &mut self.sessions[place];
        session.state = state;
        let news = match session.provider {
            Provider::Stripe => vec![stripe::of_session("checkout.session.expired", session, now)],
            Provider::Razorpay if state == SessionState::Cancelled => {
                vec![razorpay::of_link("payment_link.cancelled", session, None, now)]
            }
            Provider::Razorpay => vec![razorpay::of_link("payment_link.expired", session, None, now)],
            Provider::Cashfree => vec![cashfree::of_link(session, None, now)],
        };
        self.tell(place, news);
    }

    pub(crate) fn act(&mut self, session: &str, act: &Act, now: i64) -> Result<(), String> {
        let done = self.happen(session, act, now);
        self.save();
        done
    }

    fn happen(&mut self, session: &str, act: &Act, now: i64) -> Result<(), String> {
        let place = self
            .place(session)
            .ok_or_else(|| format!("there is no session {session}"))?;
        self.expire(now);
        match act {
            Act::Pay { units, currency } => {
                self.attempt(place, ChargeState::Succeeded, *units, currency.as_deref(), now)
            }
            Act::Delay => self.attempt(place, ChargeState::Processing, None, None, now),
            Act::Fail => self.attempt(place, ChargeState::Failed, None, None, now),
            Act::Cancel => {
                self.leave(place, now);
                Ok(())
            }
            Act::Settle => self.settle(place, ChargeState::Succeeded, now),
            Act::Bounce => self.settle(place, ChargeState::Failed, now),
            Act::Expire => {
                if self.sessions[place].state != SessionState::Open {
                    return Err("it is not open".to_owned());
                }
                self.end(place, SessionState::Expired, now);
                Ok(())
            }
            Act::Dispute { units } => self.dispute(place, *units, now),
            Act::Decide { verdict } => self.decide(place, *verdict, now),
            Act::Refund { refund, end } => self.end_refund(place, refund, *end, now),
        }
    }

    /// What is kept under a key.
    pub(crate) fn kept(&self, slot: &(Provider, String, String)) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.slot == *slot)
    }

    /// Somebody tries to pay. At Razorpay and Cashfree that may come through although the link is closed or paid already.
    fn attempt(
        &mut self,
        place: usize,
        state: ChargeState,
        units: Option<i64>,
        currency: Option<&str>,
        now: i64,
    ) -> Result<(), String> {
        let (provider, at) = (self.sessions[place].provider, self.sessions[place].state);
        if provider == Provider::Stripe && at != SessionState::Open {
            return Err("a session of Stripe that is not open cannot be paid".to_owned());
        }
        let id = match provider {
            Provider::Stripe => self.new_id("ch_"),
            Provider::Razorpay => self.new_id("pay_"),
            Provider::Cashfree => self.new_number().to_string(),
        };
        let order = match provider {
            Provider::Stripe => self.new_id("pi_"),
            Provider::Razorpay => self.new_id("order_"),
            Provider::Cashfree => self.new_id("CFPay_"),
        };
        let session = &mut self.sessions[place];
        if session.order.is_empty() {
            session.order = order;
        }
        session.charges.push(Charge {
            id,
            state,
            units: units.unwrap_or(session.units),
            currency: currency.map_or_else(|| session.currency.clone(), str::to_owned),
            created: now / 1_000,
            refunds: Vec::new(),
            disputes: Vec::new(),
        });
        let uses = match provider {
            // A delayed method completes the session at once.
            Provider::Stripe => state != ChargeState::Failed,
            _ => state == ChargeState::Succeeded,
        };
        if uses {
            session.state = SessionState::Complete;
        }
        let charge = session.charges.len() - 1;
        let news = match provider {
            Provider::Stripe => stripe::attempted(session, charge, now),
            Provider::Razorpay => razorpay::attempted(session, charge, now),
            Provider::Cashfree => cashfree::attempted(session, charge, now),
        };
        self.tell(place, news);
        Ok(())
    }

    /// Whoever was at it goes away.
    fn leave(&mut self, place: usize, now: i64) {
        let session = &self.sessions[place];
        if session.provider == Provider::Cashfree {
            let news = vec![cashfree::dropped(session, now)];
            self.tell(place, news);
        }
    }

    /// The last attempt ends another way: what was on its way, or had failed.
    pub(crate) fn settle(&mut self, place: usize, state: ChargeState, now: i64) -> Result<(), String> {
        let session = &mut self.sessions[place];
        let late = session.provider != Provider::Stripe;
        let fits = |charge: &Charge| match charge.state {
            ChargeState::Processing => true,
            ChargeState::Failed => late && state == ChargeState::Succeeded,
            ChargeState::Succeeded => false,
        };
        let charge = session.charges.iter().rposition(fits).ok_or("nothing is on its way")?;
        session.charges[charge].state = state;
        if state == ChargeState::Succeeded {
            session.state = SessionState::Complete;
        }
        let news = match session.provider {
            Provider::Stripe => stripe::settled(session, charge, now),
            Provider::Razorpay => razorpay::settled(session, charge, now),
            Provider::Cashfree => cashfree::attempted(session, charge, now),
        };
        self.tell(place, news);
        Ok(())
    }

    fn dispute(&mut self, place: usize, units: Option<i64>, now: i64) -> Result<(), String> {
        let id = match self.sessions[place].provider {
            Provider::Stripe => self.new_id("du_"),
            Provider::Razorpay => self.new_id("disp_"),
            Provider::Cashfree => self.new_number().to_string(),
        };
        let session = &mut self.sessions[place];
        let charge = paid(session).ok_or("nothing was paid")?;
        let left = session.charges[charge].units - session.charges[charge].refunded();
        session.charges[charge].disputes.push(Dispute {
            id,
            verdict: None,
            units: units.unwrap_or(left),
            created: now / 1_000,
        });
        self.tell_dispute(place, charge, now);
        Ok(())
    }

    fn decide(&mut self, place: usize, verdict: Verdict, now: i64) -> Result<(), String> {
        let session = &mut self.sessions[place];
        let charge = session.charges.iter().rposition(|charge| !charge.disputes.is_empty());
        let charge = charge.ok_or("nothing is contested")?;
        let dispute = session.charges[charge]
            .disputes
            .last_mut()
            .ok_or("nothing is contested")?;
        dispute.verdict = Some(verdict);
        self.tell_dispute(place, charge, now);
        Ok(())
    }

    fn tell_dispute(&mut self, place: usize, charge: usize, now: i64) {
        let session = &self.sessions[place];
        let news = match session.provider {
            Provider::Stripe => stripe::disputed(session, charge, now),
            Provider::Razorpay => vec![razorpay::disputed(session, charge, now)],
            Provider::Cashfree => vec![cashfree::disputed(session, charge, now)],
        };
        self.tell(place, news);
    }

    /// Gives money back of a charge; the place of the refund there, or why not.
    pub(crate) fn refund(&mut self, place: usize, charge: usize, refund: Refund, now: i64) -> Result<usize, String> {
        let of = &mut self.sessions[place].charges[charge];
        if of.state != ChargeState::Succeeded {
            return Err("the payment was not captured".to_owned());
        }
        if refund.units <= 0 || refund.units > of.units - of.refunded() {
            return Err("the amount is more than what is left of the payment".to_owned());
        }
        of.refunds.push(refund);
        let made = of.refunds.len() - 1;
        self.tell_refund(place, charge, made, true, now);
        Ok(made)
    }

    fn end_refund(&mut self, place: usize, refund: &str, end: RefundEnd, now: i64) -> Result<(), String> {
        let session = &mut self.sessions[place];
        for charge in 0..session.charges.len() {
            let refunds = &mut session.charges[charge].refunds;
            if let Some(found) = refunds.iter().position(|it| it.id == refund || it.reference == refund) {
                refunds[found].state = end;
                self.tell_refund(place, charge, found, false, now);
                return Ok(());
            }
        }
        Err(format!("there is no refund {refund}"))
    }

    fn tell_refund(&mut self, place: usize, charge: usize, refund: usize, is_new: bool, now: i64) {
        let session = &self.sessions[place];
        let news = match session.provider {
            Provider::Stripe => stripe::refunded(session, charge, refund, is_new, now),
            Provider::Razorpay => razorpay::refunded(session, charge, refund, is_new, now),
            Provider::Cashfree => vec![cashfree::refunded(session, charge, refund, now)],
        };
        self.tell(place, news);
    }

    /// Puts webhooks on their way, as they flow now.
    fn tell(&mut self, place: usize, mut news: Vec<News>) {
        let (provider, account) = (self.sessions[place].provider, self.sessions[place].account.clone());
        let (flow, delay) = (self.flow, if self.flow == Flow::Late { 2_000 } else { 0 });
        if flow == Flow::Reversed {
            news.reverse();
        }
        let state = if flow == Flow::Held {
            WebhookState::Held
        } else {
            WebhookState::Waiting
        };
        for news in news {
            for _ in 0..if flow == Flow::Repeated { 2 } else { 1 } {
                if self.outgoing.len() < MOST {
                    let id = self.new_id("wh_");
                    self.outgoing.push(Webhook {
                        id,
                        provider,
                        account: account.clone(),
                        kind: news.kind.to_owned(),
                        body: news.body.clone(),
                        state,
                        due: crate::real_ms() + delay,
                        attempts: Vec::new(),
                    });
                }
            }
        }
    }

    /// Takes a webhook for delivered that somebody else delivered.
    pub(crate) fn delivered(&mut self, id: &str) {
        let found = self.outgoing.iter_mut().find(|webhook| webhook.id == id);
        if let Some(webhook) = found {
            webhook.state = WebhookState::Sent;
        }
    }

    pub(crate) fn release(&mut self, ids: &[String]) {
        for id in ids {
            let Some(found) = self.outgoing.iter().position(|webhook| webhook.id == *id) else {
                continue;
            };
            // A copy at the end, so that they go in this order.
            let (provider, account) = (self.outgoing[found].provider, self.outgoing[found].account.clone());
            let (kind, body) = (self.outgoing[found].kind.clone(), self.outgoing[found].body.clone());
            self.outgoing.push(Webhook {
                id: format!("{id}r"),
                provider,
                account,
                kind,
                body,
                state: WebhookState::Waiting,
                due: crate::real_ms(),
                attempts: Vec::new(),
            });
        }
    }

    pub(crate) fn webhooks(&self) -> Value {
        let shown = self.outgoing.iter().map(|it| {
            json!({"id": it.id, "provider": it.provider, "kind": it.kind, "state": it.state, "attempts": it.attempts,
                "body": it.body})
        });
        shown.collect()
    }

    pub(crate) fn saw(&mut self, call: Call) {
        if self.seen.len() < MOST {
            self.seen.push(call);
        }
    }

    pub(crate) fn calls(&self) -> Value {
        let shown = self.seen.iter().map(|it| {
            json!({"provider": it.provider, "method": it.method, "path": it.path, "key": it.key, "sha256": it.sha256,
                "status": it.status})
        });
        shown.collect()
    }

    pub(crate) fn count(&self, reference: &str) -> Count {
        let mut count = Count::default();
        for session in self.sessions.iter().filter(|session| session.reference == reference) {
            count.sessions += 1;
            for charge in session.charges.iter().filter(|it| it.state == ChargeState::Succeeded) {
                count.charges += 1;
                count.charged += charge.units;
                count.refunds += charge.refunds.iter().filter(|it| it.state != RefundEnd::Failed).count();
                count.refunded += charge.refunded();
            }
        }
        count
    }

    /// What was counted of every payment, by our reference.
    pub(crate) fn counts(&self) -> BTreeMap<&str, Count> {
        let references = self.sessions.iter().map(|session| session.reference.as_str());
        references.map(|reference| (reference, self.count(reference))).collect()
    }

    /// Takes the first fault that fits a call.
    pub(crate) fn fault(&mut self, provider: Provider, on: Operation) -> Option<Fault> {
        let fits = |fault: &Fault| {
            fault.times > 0 && fault.provider.is_none_or(|it| it == provider) && fault.on.is_none_or(|it| it == on)
        };
        let fault = self.faults.iter_mut().find(|fault| fits(fault))?;
        fault.times -= 1;
        Some(*fault)
    }
}

/// What an account is called here: not by its key, which may be a secret.
pub(crate) fn named(key: &str) -> String {
    let mut name = sha256(key.as_bytes());
    name.truncate(16);
    name
}

/// The charge of a session that was paid: the last.
pub(crate) fn paid(session: &Session) -> Option<usize> {
    session
        .charges
        .iter()
        .rposition(|charge| charge.state == ChargeState::Succeeded)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

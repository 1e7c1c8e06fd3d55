//! The page, as its templates take it: every text finished. Pure.

use anyhow::Context as _;
use askama::Template;
use billing::invoice::{Method, Shared, Status};
use billing::{Invoice, Line, LineKind, TaxExempt};
use kernel::{Color, Minor, Money, Result, Time};
use lambda::Nonce;
use locale::{Locale, Words};
use payments::payment::Stage;
use payments::{Payment, PaymentStatus};
use providers::{Provider, Providers};

use crate::words;

/// A colour on light and on dark ground.
pub(crate) type Accent = (String, String);

pub(crate) fn accent(color: Option<&str>) -> Accent {
    let color = color.and_then(Color::parse).unwrap_or(Color::DEFAULT);
    (color.on_white(), color.on_dark())
}

/// That a link leads nowhere.
#[derive(Template)]
#[template(path = "absent.html")]
pub(crate) struct Absent<'a> {
    lang: &'static str,
    nonce: &'a Nonce,
    accent: Accent,
    title: &'static str,
    hint: &'static str,
}

impl<'a> Absent<'a> {
    pub(crate) fn of(locale: &Locale, nonce: &'a Nonce) -> Self {
        let own = words::of(locale.language());
        Self {
            lang: locale.language().code(),
            nonce,
            accent: accent(None),
            title: own.not_found,
            hint: own.not_found_hint,
        }
    }

    pub(crate) fn html(&self) -> Result<String> {
        Ok(self.render().context("a page")?)
    }
}

/// What is said before all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// Nothing.
    Nothing,
    /// What became of a payment that somebody comes back from.
    Of(&'a Payment),
    /// That nobody can be paid so now.
    Unavailable,
}

/// What a page shows besides the invoice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    /// Its payments, the oldest first.
    pub(crate) payments: &'a [Payment],
    /// By whom the organization can be paid.
    pub(crate) providers: &'a [Provider],
    pub(crate) said: Said<'a>,
    pub(crate) now: Time,
}

/// A sentence before all else.
pub(crate) struct Notice {
    pub(crate) class: &'static str,
    pub(crate) text: String,
    /// Where to look again, while something may come.
    pub(crate) again: Option<String>,
}

/// A button that leads to a provider.
pub(crate) struct Choice {
    pub(crate) provider: &'static str,
    pub(crate) label: String,
}

/// An invoice.
#[derive(Template)]
#[template(path = "invoice.html")]
pub(crate) struct Page<'a> {
    lang: &'static str,
    nonce: &'a Nonce,
    accent: Accent,
    /// Below which the files of the invoice are.
    path: String,
    words: &'static Words,
    own: &'static words::Words,
    logo: Option<&'a str>,
    org: &'a str,
    title: String,
    /// Its class, and what it is called.
    state: (&'static str, &'static str),
    /// A sentence with two names in it, in parts: names may run the other way.
    from_to: [String; 5],
    /// None where nothing was to be paid.
    due: Option<String>,
    sentences: Vec<String>,
    notice: Option<Notice>,
    choices: Vec<Choice>,
    facts: Vec<(&'static str, String)>,
    lines: Vec<Row>,
    sums: Vec<Sum>,
    wordings: Vec<&'static str>,
    history: Vec<Entry>,
    notes: Option<&'a str>,
    imprint: Vec<String>,
}

struct Row {
    description: String,
    details: Vec<String>,
    tax: String,
    amount: String,
}

struct Sum {
    name: String,
    value: String,
    strong: bool,
}

struct Entry {
    day: String,
    what: &'static str,
    amount: String,
}

/// How amounts and days of an invoice are written.
struct Writer<'a> {
    locale: Locale,
    invoice: &'a Invoice,
}

impl<'a> Page<'a> {
    pub(crate) fn of(shared: &'a Shared, around: Around<'_>, nonce: &'a Nonce) -> Self {
        let now = around.now;
        let Shared {
            invoice,
            client,
            org,
            settings,
            ..
        } = shared;
        let locale = Locale::of(client.profile.language.as_deref());
        let (words, own) = (locale.words(), words::of(locale.language()));
        let writer = Writer { locale, invoice };
        let number = invoice.number.map(|number| number.to_string()).unwrap_or_default();
        let token = invoice.token().map(|token| token.reveal()).unwrap_or_default();
        let notes = invoice.notes.as_deref().filter(|notes| !notes.trim().is_empty());
        let is_counted = invoice.status != Status::Cancelled;
        let path = format!("/pay/{token}");
        let choices = writer.choices(own, shared, around);
        Self {
            notice: notice(own, around.said, around.now, &org.name, &path),
            lang: writer.locale.language().code(),
            nonce,
            accent: accent(settings.color.as_deref()),
            path,
            words,
            own,
            logo: settings.logo.as_deref().filter(|logo| logo.starts_with("data:image/")),
            org: &org.name,
            title: format!("{} {number}", words.invoice),
            state: writer.state(own, now),
            from_to: from_to(own.from_to, &org.name, &client.profile.name),
            due: is_counted.then(|| writer.money(invoice.amount_due())),
            sentences: writer.sentences(own, &org.name, &number, around, choices.is_empty()),
            choices,
            facts: writer.facts(),
            lines: invoice.lines.iter().map(|line| writer.row(line)).collect(),
            sums: writer.sums(own),
            wordings: match invoice.exempt {
                TaxExempt::None => vec![],
                TaxExempt::Exempt => vec![words.exempt],
                TaxExempt::ReverseCharge => vec![words.reverse_charge],
            },
            history: writer.history(own, around.payments),
            notes,
            imprint: imprint(shared, &writer.locale),
        }
    }

    pub(crate) fn html(&self) -> Result<String> {
        Ok(self.render().context("a page")?)
    }
}

/// Whether somebody has paid and the money is on its way: then nobody pays once more.
fn is_under_way(payments: &[Payment]) -> bool {
    let mut online = payments.iter().filter_map(|payment| payment.online.as_ref());
    online.any(|online| online.stage == Stage::Processing)
}

/// What became of the payment that somebody comes back from.
pub(crate) fn notice(own: &words::Words, said: Said<'_>, now: Time, org: &str, path: &str) -> Option<Notice> {
    let (class, text) = match said {
        Said::Nothing => return None,
        Said::Unavailable => ("bad", own.unavailable),
        Said::Of(payment) => match payment.status() {
            PaymentStatus::Pending => ("wait", own.waiting),
            PaymentStatus::Processing => ("wait", own.processing),
            PaymentStatus::Succeeded | PaymentStatus::Disputed => ("good", own.succeeded),
            PaymentStatus::Failed if has_expired(payment, now) => ("bad", own.expired),
            PaymentStatus::Failed => ("bad", own.failed),
            PaymentStatus::Unapplied => ("wait", own.kept),
            PaymentStatus::PartiallyRefunded | PaymentStatus::Refunded | PaymentStatus::ChargedBack => {
                ("wait", own.given_back)
            }
        },
    };
    // Not by itself: a page that changes while it is read loses its place, for some.
    let again = match said {
        Said::Of(payment) if class == "wait" && payment.paid_at.is_none() => {
            Some(format!("{path}?payment={}", payment.id))
        }
        _ => None,
    };
    let text = text.replace("{org}", org);
    Some(Notice { class, text, again })
}

/// Those of some providers that take so much of somebody with, or without, a phone number.
pub(crate) fn choices(
    locale: &Locale,
    own: &words::Words,
    providers: &[Provider],
    due: Money,
    has_phone: bool,
) -> Vec<Choice> {
    let takes =
        |provider: &&Provider| (has_phone || !provider.needs_phone()) && Providers::chargeable(**provider, due).is_ok();
    let taking: Vec<Provider> = providers.iter().filter(takes).copied().collect();
    let label = if taking.len() == 1 { own.pay } else { own.pay_by };
    let amount = locale.money(due);
    let choice = |provider: Provider| Choice {
        provider: provider.name(),
        label: label
            .replace("{amount}", &amount)
            .replace("{provider}", provider.title()),
    };
    taking.into_iter().map(choice).collect()
}

fn has_expired(payment: &Payment, now: Time) -> bool {
    let online = payment.online.as_ref();
    online.is_some_and(|online| online.checkout.expires_at <= now)
}

/// `From {org} to {client}`, taken apart at the names: text, name, text, name, text.
pub(crate) fn from_to(sentence: &str, org: &str, client: &str) -> [String; 5] {
    const NAMES: [&str; 2] = ["{org}", "{client}"];
    let mut parts: [String; 5] = Default::default();
    let mut rest = sentence;
    for place in [0, 2] {
        let next = NAMES
            .iter()
            .filter_map(|name| rest.find(name).map(|at| (at, *name)))
            .min();
        let Some((at, name)) = next else { break };
        rest[..at].clone_into(&mut parts[place]);
        (if name == NAMES[0] { org } else { client }).clone_into(&mut parts[place + 1]);
        rest = &rest[at + name.len()..];
    }
    rest.clone_into(&mut parts[4]);
    parts
}

/// Who the organization is: at the foot.
fn imprint(shared: &Shared, locale: &Locale) -> Vec<String> {
    let mut lines = vec![shared.org.name.clone()];
    if let Some(address) = &shared.settings.address {
        lines.push(address.line1.clone());
        lines.extend(address.line2.clone());
        lines.push(format!("{} {}", address.postal_code, address.city));
        lines.push(locale.country(&address.country).to_owned());
    }
    let tax_id = shared.settings.tax_id.as_ref();
    lines.extend(tax_id.map(|id| format!("{}: {id}", locale.words().tax_id)));
    lines
}

impl Writer<'_> {
    fn money(&self, minor: Minor) -> String {
        self.locale.money(Money::new(minor, self.invoice.currency))
    }

    /// Whether it is late, also where the clock has not told yet.
    fn is_overdue(&self, now: Time) -> bool {
        let invoice = self.invoice;
        invoice.status.is_open() && (invoice.status == Status::Overdue || invoice.overdue_from() <= now)
    }

    fn state(&self, own: &words::Words, now: Time) -> (&'static str, &'static str) {
        match self.invoice.status {
            Status::Paid => ("paid", own.paid),
            Status::Cancelled => ("cancelled", own.cancelled),
            _ if self.is_overdue(now) => ("overdue", own.overdue),
            Status::PartiallyPaid => ("part", own.part),
            Status::Draft | Status::Sent | Status::Viewed | Status::Overdue => ("open", own.open),
        }
    }

    /// `is_offline`: nobody leads to a page where it can be paid.
    fn sentences(
        &self,
        own: &words::Words,
        org: &str,
        number: &str,
        around: Around<'_>,
        is_offline: bool,
    ) -> Vec<String> {
        match self.invoice.status {
            Status::Paid => vec![own.is_paid.to_owned()],
            Status::Cancelled => vec![own.is_cancelled.to_owned()],
            _ => {
                let until = if self.is_overdue(around.now) {
                    own.was_due
                } else {
                    own.pay_until
                };
                let day = self.locale.day(self.invoice.due_date);
                let transfer = own.transfer.replace("{number}", number).replace("{org}", org);
                let mut sentences = vec![until.replace("{day}", &day)];
                if is_under_way(around.payments) {
                    // Unless that was said already.
                    let is_new = matches!(around.said, Said::Nothing);
                    sentences.extend(is_new.then(|| own.processing.to_owned()));
                } else if is_offline {
                    sentences.push(transfer);
                }
                sentences
            }
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let (words, invoice) = (self.locale.words(), self.invoice);
        let issued = invoice.issued_on.map(|day| (words.date, self.locale.day(day)));
        let due = (words.due_date, self.locale.day(invoice.due_date));
        issued.into_iter().chain([due]).collect()
    }

    fn row(&self, line: &Line) -> Row {
        let locale = &self.locale;
        let exponent = u32::from(self.invoice.currency.exponent());
        let is_counted = matches!(line.kind, LineKind::Usage | LineKind::Correction);
        let quantity = locale.number(line.quantity.fraction(), 0);
        let counted = match line.unit_price {
            Some(price) => {
                let mut price = price.fraction();
                price.places += exponent;
                Some(format!("{quantity} × {}", locale.number(price, exponent)))
            }
            None => is_counted.then(|| format!("{quantity} ×")),
        };
        let period = line.period.map(|period| {
            let (first, last) = (locale.day(period.first), locale.day(period.last()));
            if first == last {
                first
            } else {
                format!("{first} – {last}")
            }
        });
        Row {
            description: line.description.clone(),
            details: period.into_iter().chain(counted).collect(),
            tax: locale.percent(line.tax_rate.fraction()),
            amount: locale.amount(line.amount, self.invoice.currency),
        }
    }

    fn sums(&self, own: &words::Words) -> Vec<Sum> {
        let (words, invoice) = (self.locale.words(), self.invoice);
        let sum = |name: &str, minor: Minor, strong: bool| Sum {
            name: name.to_owned(),
            value: self.money(minor),
            strong,
        };
        let mut sums = vec![sum(words.subtotal, invoice.totals.subtotal, false)];
        if invoice.exempt == TaxExempt::None {
            sums.extend(invoice.totals.taxes.iter().map(|tax| {
                let rate = self.locale.percent(tax.rate.fraction());
                let name = words
                    .tax_on
                    .replace("{rate}", &rate)
                    .replace("{base}", &self.money(tax.base));
                sum(&name, tax.amount, false)
            }));
        }
        sums.push(sum(words.total, invoice.totals.total, true));
        for (name, minor) in [
            (own.paid_so_far, invoice.paid.sum()),
            (words.credited, invoice.credited_due),
        ] {
            if minor != Minor::ZERO {
                sums.push(sum(name, -minor, false));
            }
        }
        if invoice.amount_due() != invoice.totals.total {
            sums.push(sum(words.amount_due, invoice.amount_due(), true));
        }
        sums
    }

    /// By whom it can be paid now: those who take such an amount, and have what they want of the client.
    fn choices(&self, own: &words::Words, shared: &Shared, around: Around<'_>) -> Vec<Choice> {
        if !self.invoice.status.is_open() || is_under_way(around.payments) {
            return Vec::new();
        }
        let has_phone = shared.client.profile.phone.is_some();
        choices(&self.locale, own, around.providers, self.invoice.due(), has_phone)
    }

    /// What came: from the balance, by hand, by providers.
    fn history(&self, own: &'static words::Words, payments: &[Payment]) -> Vec<Entry> {
        let (words, invoice) = (self.locale.words(), self.invoice);
        let balance = invoice
            .sent_at
            .filter(|_| invoice.paid.balance != Minor::ZERO)
            .map(|at| Entry {
                day: self.day(at),
                what: words.paid,
                amount: self.money(invoice.paid.balance),
            });
        let came = payments.iter().filter_map(|payment| {
            let at = payment.paid_at?;
            Some(Entry {
                day: self.day(at),
                what: match payment.method {
                    Some(Method::BankTransfer) => own.bank_transfer,
                    Some(Method::Cash) => own.cash,
                    Some(Method::Check) => own.check,
                    Some(Method::Other) => own.other,
                    None => own.online,
                },
                amount: self.money(payment.amount),
            })
        });
        balance.into_iter().chain(came).collect()
    }

    fn day(&self, at: Time) -> String {
        self.locale.day(self.invoice.zone.day_of(at))
    }
}

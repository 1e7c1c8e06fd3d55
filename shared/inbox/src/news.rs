//! What facts are news, for whom, and how they are said: fixed wording, and names as people gave them. Pure.
//!
//! What is said is text. Whatever shows it escapes it.

use kernel::policy::{ADMINS, EVERYONE, OWNERS, PAYERS};
use kernel::{Currency, Minor, Money, OrgRole};
use notifications::Topic;
use outbox::Told;
use serde::Deserialize;

/// No title and no body is longer, whatever names are in it.
const LONGEST_TITLE: usize = 200;
const LONGEST_BODY: usize = 500;

/// Something that members of an organization should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What it is about.
    pub topic: Topic,
    /// Who should know it.
    pub roles: &'static [OrgRole],
    /// Who is mailed about it anyway.
    pub mailed: Mailed,
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub body: String,
}

/// Who is mailed about something by whoever tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailed {
    /// Nobody.
    Nobody,
    /// Those with one of these roles.
    Roles(&'static [OrgRole]),
    /// Who has this address.
    Address(String),
}

impl Mailed {
    /// Whether somebody with this role and address is.
    pub fn has(&self, role: OrgRole, address: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Roles(roles) => roles.contains(&role),
            Self::Address(mailed) => mailed.eq_ignore_ascii_case(address),
        }
    }
}

/// The facts that are news.
pub const HEARD: &[&str] = &[
    "alert.fired",
    "alert.resolved",
    "contract.expired",
    "contract.resumed",
    "contract.suspended",
    "contract.terminated",
    "endpoint.disabled",
    "invoice.overdue",
    "invoice.paid",
    "invoice.partially_paid",
    "payment.disputed",
    "payment.failed",
    "payment.refunded",
    "payment.succeeded",
    "payment.unapplied",
    "subscription.canceled",
    "subscription.expired",
    "wallet.exhausted",
    "wallet.low",
    "wallet.topped_up",
];

/// What a fact is to members of its organization; nothing for one that is no news. An error if it does not say what it should.
pub fn of(fact: &Told) -> serde_json::Result<Option<News>> {
    let name = fact.fact.as_str();
    if !HEARD.contains(&name) {
        return Ok(None);
    }
    let news = match name.split_once('.').map_or("", |(about, _)| about) {
        "alert" => alert(name, &read(fact)?),
        "contract" => contract(name, &read(fact)?),
        "endpoint" => endpoint(&read(fact)?),
        "invoice" => invoice(name, &read(fact)?),
        "payment" => payment(name, &read(fact)?),
        "subscription" => subscription(name, &read(fact)?),
        _ => wallet(name, &read(fact)?),
    };
    Ok(Some(news))
}

fn read<'a, T: Deserialize<'a>>(fact: &'a Told) -> serde_json::Result<T> {
    serde_json::from_str(&fact.data)
}

/// News that is mailed to nobody otherwise.
fn news(topic: Topic, roles: &'static [OrgRole], title: &str, body: &str) -> News {
    let cut = |text: &str, most: usize| text.chars().take(most).collect();
    News {
        topic,
        roles,
        mailed: Mailed::Nobody,
        title: cut(title, LONGEST_TITLE),
        body: cut(body, LONGEST_BODY),
    }
}

fn amount(minor: Minor, currency: Currency) -> String {
    format!("{} {}", currency.code(), Money::new(minor, currency).plain())
}

#[derive(Deserialize)]
struct Alert {
    rule: String,
    project: String,
    channel: String,
    target: String,
    incident: Incident,
}

#[derive(Deserialize)]
struct Incident {
    value: f64,
}

fn alert(name: &str, said: &Alert) -> News {
    let Alert { rule, project, .. } = said;
    let (title, body) = if name == "alert.fired" {
        let value = said.incident.value;
        (format!("Firing in {project}: {rule}"), format!("{value} was measured."))
    } else {
        (
            format!("Resolved in {project}: {rule}"),
            "It does not fire any more.".to_owned(),
        )
    };
    let news = news(Topic::Alerts, EVERYONE, &title, &body);
    if said.channel != "email" {
        return news;
    }
    let mailed = Mailed::Address(said.target.clone());
    News { mailed, ..news }
}

#[derive(Deserialize)]
struct Contract {
    name: Option<String>,
}

fn contract(name: &str, said: &Contract) -> News {
    let called = said
        .name
        .as_ref()
        .map_or("A contract".to_owned(), |name| format!("The contract {name}"));
    let (title, body) = match name {
        "contract.suspended" => ("rests", "Nothing is billed by it until it goes on."),
        "contract.resumed" => ("goes on", "What it sells is billed again."),
        "contract.terminated" => ("was terminated", "Its subscriptions have ended."),
        _ => ("has expired", "Its subscriptions have ended."),
    };
    // Dunning mails some of those who manage the organization; that a person did it is mailed to nobody: rather twice than never.
    news(Topic::Billing, PAYERS, &format!("{called} {title}"), body)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    description: Option<String>,
    disabled_reason: Option<String>,
}

fn endpoint(said: &Endpoint) -> News {
    let called = said.description.as_ref().filter(|text| !text.is_empty());
    let called = called.map_or("A webhook".to_owned(), |text| format!("The webhook {text}"));
    let body = if said.disabled_reason.as_deref() == Some("gone") {
        "Its server answered that it is gone (410)."
    } else {
        "Every call of it has failed for five days."
    };
    News {
        mailed: Mailed::Roles(ADMINS),
        ..news(Topic::Webhooks, ADMINS, &format!("{called} was disabled"), body)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invoice {
    number: Option<String>,
    currency: Currency,
    total: Minor,
    amount_due: Minor,
    due_date: String,
}

fn invoice(name: &str, said: &Invoice) -> News {
    let number = said.number.as_deref().unwrap_or_default();
    let (total, due) = (
        amount(said.total, said.currency),
        amount(said.amount_due, said.currency),
    );
    let (title, body) = match name {
        "invoice.paid" => (format!("Invoice {number} was paid"), format!("{total} in all.")),
        "invoice.partially_paid" => (
            format!("A part of invoice {number} was paid"),
            format!("{due} of {total} is still due."),
        ),
        _ => (
            format!("Invoice {number} is overdue"),
            format!("{due} was due on {}.", said.due_date),
        ),
    };
    news(Topic::Billing, PAYERS, &title, &body)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    provider: Option<String>,
    currency: Currency,
    amount: Minor,
    amount_refunded: Minor,
    amount_received: Minor,
    received_currency: Option<Currency>,
}

fn payment(name: &str, said: &Payment) -> News {
    let whole = amount(said.amount, said.currency);
    let by = said
        .provider
        .as_ref()
        .map_or(String::new(), |provider| format!(" by {provider}"));
    let (title, body) = match name {
        "payment.succeeded" => (
            format!("{whole} was paid{by}"),
            "The money came, and counts.".to_owned(),
        ),
        "payment.failed" => (
            format!("A payment of {whole}{by} has failed"),
            "It can be tried again.".to_owned(),
        ),
        "payment.refunded" => (
            format!("A refund of a payment of {whole}{by}"),
            format!(
                "{} of it went back so far.",
                amount(said.amount_refunded, said.currency)
            ),
        ),
        "payment.disputed" => (
            format!("A payment of {whole}{by} is disputed"),
            "Its payer contests it, or that was decided: look at it.".to_owned(),
        ),
        _ => {
            let came = amount(said.amount_received, said.received_currency.unwrap_or(said.currency));
            (
                format!("{came} came{by} and fits nothing"),
                "It is kept: look at it, and refund it if it is nobody's.".to_owned(),
            )
        }
    };
    let news = news(Topic::Payments, PAYERS, &title, &body);
    let mailed = match name {
        "payment.unapplied" => Mailed::Roles(PAYERS),
        _ => Mailed::Nobody,
    };
    News { mailed, ..news }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subscription {
    plan_name: String,
}

fn subscription(name: &str, said: &Subscription) -> News {
    let plan = &said.plan_name;
    let (title, body) = if name == "subscription.canceled" {
        (format!("A subscription to {plan} was canceled"), "A person ended it.")
    } else {
        (format!("A subscription to {plan} has ended"), "Its time is over.")
    };
    news(Topic::Billing, PAYERS, &title, body)
}

#[derive(Deserialize)]
struct Wallet {
    included: u64,
    balance: u64,
    leased: u64,
}

fn wallet(name: &str, said: &Wallet) -> News {
    let left = said.balance.saturating_add(said.leased);
    let (title, mailed) = match name {
        "wallet.low" => ("80 % of this month's credits are used", Mailed::Roles(OWNERS)),
        "wallet.exhausted" => ("All of this month's credits are used", Mailed::Roles(OWNERS)),
        _ => ("Credits that were bought are there", Mailed::Nobody),
    };
    let body = match mailed {
        Mailed::Nobody => format!("{left} credits are left."),
        _ => format!("The month includes {}; {left} credits are left.", said.included),
    };
    News {
        mailed,
        ..news(Topic::Billing, PAYERS, title, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{MessageId, OrgId, Time};
    use serde_json::{Value, json};

    fn told(name: &str, data: &Value) -> Told {
        let at = Time::from_millis(1_800_000_000_000);
        serde_json::from_value(json!({
            "id": MessageId::new(at), "org": OrgId::from_bits(1), "fact": name, "about": "x", "sequence": 1, "at": at,
            "data": data.to_string(), "origin": {}, "failures": 0
        }))
        .unwrap()
    }

    fn said(name: &str, data: &Value) -> News {
        of(&told(name, data)).unwrap().unwrap()
    }

    #[test]
    fn only_some_facts_are_news() {
        assert_eq!(of(&told("invoice.created", &json!({}))).unwrap(), None);
        assert_eq!(of(&told("member.joined", &json!({}))).unwrap(), None);
        assert!(of(&told("invoice.paid", &json!({}))).is_err());
    }

    #[test]
    fn invoices_are_for_those_who_look_after_money() {
        let data =
            json!({"number": "INV-1", "currency": "EUR", "total": 11_900, "amountDue": 1_900, "dueDate": "2027-01-29"});
        let paid = said("invoice.paid", &data);
        assert_eq!((paid.topic, paid.roles), (Topic::Billing, PAYERS));
        assert_eq!(
            (paid.title.as_str(), paid.body.as_str()),
            ("Invoice INV-1 was paid", "EUR 119.00 in all.")
        );
        let overdue = said("invoice.overdue", &data);
        assert_eq!(overdue.body, "EUR 19.00 was due on 2027-01-29.");
    }

    #[test]
    fn a_contract_that_rests_is_told_to_whoever_is_not_mailed_for_certain() {
        for name in ["contract.suspended", "contract.resumed"] {
            assert_eq!(said(name, &json!({"name": null})).mailed, Mailed::Nobody, "{name}");
        }
    }

    #[test]
    fn an_alert_is_for_everybody_and_mailed_to_its_target() {
        let data = |channel: &str| {
            json!({"rule": "errors > 1", "project": "Shop", "channel": channel, "target": "Ada@example.com",
                "incident": {"value": 2.5}})
        };
        let fired = said("alert.fired", &data("email"));
        assert_eq!(fired.title, "Firing in Shop: errors > 1");
        assert!(fired.mailed.has(OrgRole::Viewer, "ada@example.com"));
        assert!(!fired.mailed.has(OrgRole::Viewer, "bob@example.com"));
        assert_eq!(said("alert.resolved", &data("webhook")).mailed, Mailed::Nobody);
    }

    #[test]
    fn names_are_cut_where_they_are_too_long() {
        let long = said("subscription.canceled", &json!({"planName": "é".repeat(999)}));
        assert_eq!(long.title.chars().count(), LONGEST_TITLE);
    }
}

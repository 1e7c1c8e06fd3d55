//! One of each mail, for tests and for people who want to look at them.

use kernel::{OrgRole, Time};

use super::{Letter, Line, News};
use crate::topic::Topic;

/// One of each mail, with values as they come.
pub fn samples() -> Vec<Letter> {
    // 2027-01-15T08:00:00Z.
    let now = Time::from_millis(1_800_000_000_000);
    let page = |path: &str| Line::from(format!("https://console.example.com{path}"));
    let token = |path: &str| {
        page(&format!(
            "{path}#token=usr_01mcc5rm00ead9ttpnkqfb058v.3q2-7wX0cPZr9tQkLmVbN5yHsA1dEfGh"
        ))
    };
    let rule = || Line::from("Checkout fails: error rate of type REQUEST named POST /checkout > 0.05 over 5 minutes");
    let alert = || page("/projects/prj_01mcc5rm00ead9ttpnkqfb058v/alerts/alr_01mcc5rm00ead9ttpnkqfb058v");
    let mut samples = vec![
        Letter::VerifyEmail {
            name: "Ada Lovelace".into(),
            link: token("/verify-email"),
        },
        Letter::ResetPassword {
            name: "Ada Lovelace".into(),
            link: token("/reset-password"),
        },
        Letter::PasswordChanged {
            name: "Ada Lovelace".into(),
            changed_at: now,
            link: page("/forgot-password"),
        },
        Letter::Invitation {
            inviter: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            role: OrgRole::Admin,
            link: token("/invitation"),
        },
        Letter::AlertFired {
            rule: rule(),
            project: "Shop".into(),
            value: "0.07142857142857142".into(),
            fired_at: now,
            link: alert(),
        },
        Letter::AlertResolved {
            rule: rule(),
            project: "Shop".into(),
            value: "not measured, for the alert was disabled".into(),
            resolved_at: now,
            link: alert(),
        },
    ];
    samples.push(a_digest(now, page));
    samples.extend(of_accounts(now, page));
    samples.extend(of_wallets(page));
    samples.extend(of_payments(page));
    samples.extend(to_clients());
    samples.extend(of_dunning());
    samples
}

/// What has happened about one topic.
fn a_digest(now: Time, page: impl Fn(&str) -> Line) -> Letter {
    let rule = "Checkout fails: error rate of type REQUEST named POST /checkout > 0.05 over 5 minutes";
    Letter::Digest {
        name: "Ada Lovelace".into(),
        organization: "Analytical Engines".into(),
        topic: Topic::Alerts,
        news: vec![
            News::of(&format!("Firing in Shop: {rule}"), "Value: 0.07142857142857142", now),
            News::of(
                &format!("Resolved in Shop: {rule}"),
                "Value: 0.01",
                now.plus_millis(Time::HOUR),
            ),
        ],
        more: 1_200,
        link: page("/notifications"),
    }
}

/// Mails that tell a person of their account.
fn of_accounts(now: Time, page: impl Fn(&str) -> Line) -> [Letter; 5] {
    [
        Letter::FactorAdded {
            name: "Ada Lovelace".into(),
            factor: "Phone".into(),
            changed_at: now,
            link: page("/forgot-password"),
        },
        Letter::FactorRemoved {
            name: "Ada Lovelace".into(),
            factor: "Phone".into(),
            changed_at: now,
            link: page("/forgot-password"),
        },
        Letter::RecoveryCodeUsed {
            name: "Ada Lovelace".into(),
            left: 9,
            changed_at: now,
            link: page("/forgot-password"),
        },
        Letter::NewDevice {
            name: "Ada Lovelace".into(),
            address: "192.0.2.1".into(),
            changed_at: now,
            link: page("/forgot-password"),
        },
        Letter::PlatformRoleChanged {
            name: "Ada Lovelace".into(),
            role: "admin".into(),
            changed_at: now,
            link: page("/forgot-password"),
        },
    ]
}

/// Mails of an organization's wallet.
fn of_wallets(page: impl Fn(&str) -> Line) -> [Letter; 3] {
    [
        Letter::WalletLow {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            included: 100_000,
            left: 20_000,
            link: page("/wallet"),
        },
        Letter::WalletExhausted {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            included: 100_000,
            left: 0,
            link: page("/wallet"),
        },
        Letter::TopupFailed {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            credits: 1_000_000,
            amount: "USD 10.00".into(),
            link: page("/wallet"),
        },
    ]
}

/// Mails of an organization's payments, and of its webhooks.
fn of_payments(page: impl Fn(&str) -> Line) -> [Letter; 3] {
    [
        Letter::WebhookDisabled {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            server: "https://hooks.example.com".into(),
            gone: false,
            link: page("/webhooks"),
        },
        Letter::PaymentUnapplied {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            amount: "EUR 119.00".into(),
            provider: "Stripe".into(),
            reason: "EUR 120.00 was asked for".into(),
            link: page("/payments/pay_01mcc5rm00ead9ttpnkqfb058v"),
        },
        Letter::PaymentsDrifted {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            provider: "Stripe".into(),
            payments: 2,
            link: page("/payments/comparisons"),
        },
    ]
}

/// Mails that a client gets.
fn to_clients() -> [Letter; 2] {
    [
        Letter::InvoiceSent {
            name: "Difference GmbH".into(),
            organization: "Analytical Engines".into(),
            number: "INV-2027-0042".into(),
            total: "EUR 9058.88".into(),
            due: "EUR 9058.88".into(),
            due_date: "2027-01-29".into(),
            is_paid: false,
            link: Some("https://api.example.com/pay/AaBbCc".into()),
        },
        Letter::InvoiceReminder {
            name: "Difference GmbH".into(),
            organization: "Analytical Engines".into(),
            number: "INV-2027-0042".into(),
            due: "EUR 9058.88".into(),
            due_date: "2027-01-29".into(),
            link: Some("https://api.example.com/pay/AaBbCc".into()),
        },
    ]
}

/// Mails about a contract that rests because an invoice is not paid, and goes on.
fn of_dunning() -> [Letter; 4] {
    let invoice = || "https://console.example.com/invoices/01JAB".into();
    [
        Letter::ContractSuspended {
            name: "Difference GmbH".into(),
            organization: "Analytical Engines".into(),
            number: "INV-2027-0042".into(),
            due: "EUR 9058.88".into(),
            due_date: "2027-01-29".into(),
            link: Some("https://api.example.com/pay/AaBbCc".into()),
        },
        Letter::ContractResumed {
            name: "Difference GmbH".into(),
            organization: "Analytical Engines".into(),
            number: "INV-2027-0042".into(),
        },
        Letter::ClientSuspended {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            client: "Difference GmbH".into(),
            number: "INV-2027-0042".into(),
            due: "EUR 9058.88".into(),
            due_date: "2027-01-29".into(),
            link: invoice(),
        },
        Letter::ClientResumed {
            name: "Ada Lovelace".into(),
            organization: "Analytical Engines".into(),
            client: "Difference GmbH".into(),
            number: "INV-2027-0042".into(),
            link: invoice(),
        },
    ]
}

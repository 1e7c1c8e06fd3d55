//! A statement of a client's account, as data.

use archive::Account;
use documents::document::Entered;
use kernel::{ClientId, Currency, Day, Minor};
use serde::Serialize;

/// A statement of a client's account. Amounts are minor units; what the client owes is above zero.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Statement)]
pub(crate) struct StatementView {
    /// Whose account.
    client_id: ClientId,
    /// What its amounts are.
    currency: Currency,
    /// The first day.
    from: Day,
    /// The last day.
    to: Day,
    /// What was owed before.
    #[schema(value_type = i64)]
    opening: Minor,
    /// What happened, in order.
    entries: Vec<EntryView>,
    /// What is owed then.
    #[schema(value_type = i64)]
    closing: Minor,
}

/// What happened on an account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatementEntry)]
struct EntryView {
    /// When.
    day: Day,
    /// What.
    kind: Kind,
    /// The number of an invoice or credit note; what a payment is found by.
    #[schema(example = "INV-2027-0001")]
    reference: String,
    /// What it adds to what is owed; below zero for what it takes off.
    #[schema(value_type = i64)]
    amount: Minor,
    /// What is owed after it.
    #[schema(value_type = i64)]
    balance: Minor,
}

/// What an entry is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = StatementEntryKind)]
enum Kind {
    /// An invoice.
    Invoice,
    /// A credit note.
    CreditNote,
    /// A payment, or what went back of one.
    Payment,
}

impl StatementView {
    pub(crate) fn of(client: ClientId, account: Account) -> Self {
        let (opening, closing) = (account.opening, account.closing());
        let shown = account.entries.into_iter().scan(opening, |owed, entry| {
            *owed += entry.amount;
            Some(EntryView {
                day: entry.day,
                kind: match entry.what {
                    Entered::Invoice => Kind::Invoice,
                    Entered::CreditNote => Kind::CreditNote,
                    Entered::Payment => Kind::Payment,
                },
                reference: entry.reference,
                amount: entry.amount,
                balance: *owed,
            })
        });
        Self {
            client_id: client,
            currency: account.currency,
            from: account.period.from,
            to: account.period.to,
            opening,
            entries: shown.collect(),
            closing,
        }
    }
}

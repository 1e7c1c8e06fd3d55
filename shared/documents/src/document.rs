//! What a document says: taken from what was booked, never computed anew.

use billing::{Client, CreditNote, DocumentNumber, Invoice, Line, TaxExempt, Totals, invoice};
use kernel::{Address, Color, Currency, Day, Minor};
use locale::Locale;

use crate::logo::Logo;

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An invoice.
    Invoice,
    /// A credit note.
    CreditNote,
    /// What a client bought, was credited and paid.
    Statement,
}

/// Why a document does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It may still change.
    Draft,
    /// It was cancelled.
    Cancelled,
}

/// Who sells.
#[derive(Clone, Debug, Default)]
pub struct Seller {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: Option<Address>,
    /// Its tax number.
    pub tax_id: Option<String>,
    /// A picture, instead of its name at the top.
    pub logo: Option<Logo>,
    /// What its documents are coloured in.
    pub color: Option<Color>,
}

/// Who sells or buys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// What the one who sells calls it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: Option<Address>,
    /// Its tax number.
    pub tax_id: Option<String>,
    /// Where it is written to.
    pub email: Option<String>,
}

/// The document that another one corrects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preceding {
    /// Its number.
    pub number: DocumentNumber,
    /// The day that it is dated.
    pub issued_on: Option<Day>,
}

/// A line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub day: Day,
    /// What.
    pub what: Entered,
    /// What it is found by.
    pub reference: String,
    /// What it adds to what the client owes; below zero for what it takes off.
    pub amount: Minor,
}

/// What a line of a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// An invoice.
    Invoice,
    /// A credit note.
    CreditNote,
    /// A payment.
    Payment,
}

/// What a document is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What is sold or credited.
    Lines {
        /// Its lines.
        lines: Vec<Line>,
        /// What they come to.
        totals: Totals,
        /// What was paid when it was sent.
        prepaid: Minor,
        /// What was to be paid then.
        due: Minor,
    },
    /// What happened on an account.
    Account {
        /// What was owed before.
        opening: Minor,
        /// What happened, in order.
        entries: Vec<Entry>,
        /// What is owed now.
        closing: Minor,
    },
}

/// What a document says.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is.
    pub kind: Kind,
    /// Why it does not count.
    pub mark: Option<Mark>,
    /// Its number; a draft has none.
    pub number: Option<DocumentNumber>,
    /// The day that it is dated; of a draft the day that it was made.
    pub dated: Day,
    /// The last day to pay it.
    pub due_date: Option<Day>,
    /// What it is written in.
    pub locale: Locale,
    /// What its amounts are.
    pub currency: Currency,
    /// Who sells.
    pub seller: Party,
    /// A picture of the seller.
    pub logo: Option<Logo>,
    /// The seller's colour.
    pub color: Color,
    /// Who buys.
    pub buyer: Party,
    /// What it is about.
    pub content: Content,
    /// Whether the buyer is taxed.
    pub exempt: TaxExempt,
    /// What a person added; of a credit note why.
    pub notes: Option<String>,
    /// What it corrects.
    pub preceding: Option<Preceding>,
    /// Where it can be paid.
    pub payment_link: Option<String>,
}

impl Document {
    /// An invoice, as it was when it was sent: what was paid since does not change it.
    pub fn of_invoice(invoice: &Invoice, client: &Client, seller: &Seller) -> Self {
        let mark = match invoice.status {
            invoice::Status::Draft => Some(Mark::Draft),
            invoice::Status::Cancelled => Some(Mark::Cancelled),
            _ => None,
        };
        let prepaid = invoice.paid.balance;
        let content = Content::Lines {
            lines: invoice.lines.clone(),
            totals: invoice.totals.clone(),
            prepaid,
            due: invoice.totals.total - prepaid,
        };
        let dated = invoice
            .issued_on
            .unwrap_or_else(|| invoice.zone.day_of(invoice.created_at));
        Self {
            mark,
            number: invoice.number,
            due_date: Some(invoice.due_date),
            exempt: invoice.exempt,
            notes: invoice.notes.clone(),
            ..Self::new(Kind::Invoice, dated, invoice.currency, client, seller, content)
        }
    }

    /// A credit note, with the invoice that it corrects.
    pub fn of_credit_note(note: &CreditNote, invoice: Option<&Invoice>, client: &Client, seller: &Seller) -> Self {
        let content = Content::Lines {
            lines: note.lines.clone(),
            totals: note.totals.clone(),
            prepaid: Minor::ZERO,
            due: note.totals.total,
        };
        let preceding = invoice.and_then(|invoice| {
            let issued_on = invoice.issued_on;
            invoice.number.map(|number| Preceding { number, issued_on })
        });
        Self {
            number: Some(note.number),
            exempt: invoice.map_or(client.profile.tax_exempt, |invoice| invoice.exempt),
            notes: Some(note.reason.clone()).filter(|reason| !reason.is_empty()),
            preceding,
            ..Self::new(Kind::CreditNote, note.issued_on, note.currency, client, seller, content)
        }
    }

    /// A statement of what happened on a client's account until a day, from what was owed before. In the order given.
    pub fn of_account(
        until: Day,
        opening: kernel::Money,
        entries: Vec<Entry>,
        client: &Client,
        seller: &Seller,
    ) -> Self {
        let change: Minor = entries.iter().map(|entry| entry.amount).sum();
        let content = Content::Account {
            opening: opening.minor,
            entries,
            closing: opening.minor + change,
        };
        Self::new(Kind::Statement, until, opening.currency, client, seller, content)
    }

    /// The same, with a link by which it can be paid, if anything is due.
    #[must_use]
    pub fn payable_at(mut self, link: String) -> Self {
        let is_due = matches!(self.content, Content::Lines { due, .. } if due > Minor::ZERO);
        self.payment_link = Some(link).filter(|_| is_due && self.kind == Kind::Invoice && self.mark.is_none());
        self
    }

    fn new(kind: Kind, dated: Day, currency: Currency, client: &Client, seller: &Seller, content: Content) -> Self {
        let profile = &client.profile;
        Self {
            kind,
            mark: None,
            number: None,
            dated,
            due_date: None,
            locale: Locale::of(profile.language.as_deref()),
            currency,
            seller: Party {
                id: client.org.to_string(),
                name: seller.name.clone(),
                address: seller.address.clone(),
                tax_id: seller.tax_id.clone(),
                email: None,
            },
            logo: seller.logo.clone(),
            color: seller.color.unwrap_or(Color::DEFAULT),
            buyer: Party {
                id: client.id.to_string(),
                name: profile.name.clone(),
                address: profile.address.clone(),
                tax_id: profile.tax_id.clone(),
                email: Some(profile.email.clone()),
            },
            content,
            exempt: TaxExempt::None,
            notes: None,
            preceding: None,
            payment_link: None,
        }
    }
}

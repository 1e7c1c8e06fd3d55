//! What was invoiced in a month:     pk ORG#<org>#REVENUE   sk MONTH#<month>#<currency>
//! Invoices by their state:          pk ORG#<org>#REVENUE   sk STATES#<currency>
//! What subscriptions bring a month: pk ORG#<org>#REVENUE   sk MRR#<currency>

use std::collections::BTreeMap;

use kernel::policy::ReadBilling;
use kernel::{Currency, Day, Minor, Money, OrgId, Result, Scope};
use serde::{Deserialize, Serialize};
use table::{Key, Query, Record, Table, TableName, Update, Write};

use super::{Figures, Held, Sums, name_of};
use crate::invoice::Status;

/// So many sums are read at once.
const PAGE: u16 = 200;
/// So many pages: ten years in a dozen currencies.
const PAGES: usize = 8;

const MONTH: &str = "MONTH#";
const STATES: &str = "STATES#";
const MRR: &str = "MRR#";
/// What counts of states begin with, and what is due in them.
const COUNT: &str = "count:";
const DUE: &str = "due:";

/// Sums of one month or one currency: numbers by their names.
#[derive(Debug, Serialize, Deserialize)]
struct Sum {
    pk: String,
    sk: String,
    #[serde(flatten)]
    numbers: BTreeMap<String, serde_json::Value>,
}

impl Record for Sum {
    const KIND: &'static str = "billing-sum";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(&self.pk, &self.sk)
    }
}

impl Sum {
    fn number(&self, name: &str) -> i64 {
        self.numbers.get(name).and_then(serde_json::Value::as_i64).unwrap_or(0)
    }

    fn minor(&self, name: &str) -> Minor {
        Minor::new(self.number(name))
    }

    /// The currency that its key ends with.
    fn currency(&self) -> Option<Currency> {
        self.sk.rsplit('#').next()?.parse().ok()
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#REVENUE")
}

/// What adds these numbers to a sum, if one of them is any.
fn added(org: OrgId, sk: String, numbers: Vec<(String, i64)>) -> Option<Write> {
    let some: Vec<_> = numbers.into_iter().filter(|(_, number)| *number != 0).collect();
    if some.is_empty() {
        return None;
    }
    let update = Update::of::<Sum>(&Key::of(partition(org), sk));
    let update = some
        .into_iter()
        .fold(update, |update, (name, number)| update.add_number(&name, number));
    Some(update.into())
}

impl Figures {
    fn numbers(self) -> Vec<(String, i64)> {
        let named = [
            ("sent", self.sent),
            ("invoiced", self.invoiced.get()),
            ("credited", self.credited.get()),
            ("cancelled", self.cancelled.get()),
            ("tax", self.tax.get()),
            ("received", self.received.get()),
        ];
        named.map(|(name, number)| (name.to_owned(), number)).into()
    }
}

impl Sums {
    /// What stores them, of what was done on a day: a write for each item.
    pub(crate) fn writes(self, org: OrgId, today: Day) -> Vec<Write> {
        let month = name_of(today);
        let months = self.months.into_iter();
        let months = months.filter_map(|(currency, figures)| {
            let sk = format!("{MONTH}{month}#{}", currency.code());
            added(org, sk, figures.numbers())
        });
        let states = self.states.into_iter().filter_map(|(currency, states)| {
            let numbers = states.into_iter().flat_map(|(status, held)| {
                let name = status.name();
                [
                    (format!("{COUNT}{name}"), held.count),
                    (format!("{DUE}{name}"), held.due.get()),
                ]
            });
            added(org, format!("{STATES}{}", currency.code()), numbers.collect())
        });
        months.chain(states).collect()
    }
}

/// What moves what subscriptions bring a month, when some of them brought the first of each pair, as it was counted last,
/// and bring the second now. Whoever changes subscriptions adds it to the transaction, and keeps in each what was counted.
pub fn moved_mrr(org: OrgId, moves: impl IntoIterator<Item = (Option<Money>, Option<Money>)>) -> Vec<Write> {
    let mut changes: BTreeMap<Currency, i64> = BTreeMap::new();
    for (before, after) in moves {
        for (money, sign) in before.map(|one| (one, -1)).into_iter().chain(after.map(|one| (one, 1))) {
            *changes.entry(money.currency).or_default() += sign * money.minor.get();
        }
    }
    let changes = changes.into_iter();
    changes
        .filter_map(|(currency, change)| {
            let sk = format!("{MRR}{}", currency.code());
            added(org, sk, vec![("amount".to_owned(), change)])
        })
        .collect()
}

/// What was done in a month in one currency. Amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevenueOfMonth {
    /// The month, in the organization's zone.
    #[schema(example = "2027-01")]
    pub month: String,
    /// The currency.
    pub currency: Currency,
    /// How many invoices were sent.
    pub invoices: i64,
    /// What they came to, net of tax.
    #[schema(value_type = i64)]
    pub invoiced: Minor,
    /// What was credited, net of tax.
    #[schema(value_type = i64)]
    pub credited: Minor,
    /// What was left of invoices that were cancelled, net of tax.
    #[schema(value_type = i64)]
    pub cancelled: Minor,
    /// `invoiced − credited − cancelled`.
    #[schema(value_type = i64)]
    pub revenue: Minor,
    /// The tax on `revenue`.
    #[schema(value_type = i64)]
    pub tax: Minor,
    /// What came in from outside, less what was given back, with tax.
    #[schema(value_type = i64)]
    pub received: Minor,
}

impl RevenueOfMonth {
    fn of(sum: &Sum) -> Option<Self> {
        let (month, _) = sum.sk.strip_prefix(MONTH)?.split_once('#')?;
        let [invoiced, credited, cancelled] = ["invoiced", "credited", "cancelled"].map(|name| sum.minor(name));
        Some(Self {
            month: month.to_owned(),
            currency: sum.currency()?,
            invoices: sum.number("sent"),
            invoiced,
            credited,
            cancelled,
            revenue: invoiced - credited - cancelled,
            tax: sum.minor("tax"),
            received: sum.minor("received"),
        })
    }
}

/// Invoices by their state, in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatesView {
    /// How many there are in each state.
    pub by_status: BTreeMap<String, i64>,
    /// Those that are overdue.
    pub overdue: OverdueView,
    /// What is due on invoices that are open, by currency, in minor units.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub due: BTreeMap<Currency, Minor>,
}

/// Invoices that are overdue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = OverdueInvoices)]
pub struct OverdueView {
    /// How many.
    pub count: i64,
    /// What is due on them, by currency, in minor units.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub amounts: BTreeMap<Currency, Minor>,
}

/// Reads what was done in months, from the one of the first day to that of the last, by month and currency.
pub async fn revenue(
    table: &Table,
    scope: &Scope<ReadBilling>,
    [first, last]: [Day; 2],
    currency: Option<Currency>,
) -> Result<Vec<RevenueOfMonth>> {
    let query = |after| {
        let (first, last) = (name_of(first), name_of(last));
        let range =
            Query::of(partition(scope.org()), PAGE).between(format!("{MONTH}{first}"), format!("{MONTH}{last}#~"));
        range.consistent().after(after)
    };
    let sums = all(table, query).await?;
    let months = sums.iter().filter_map(RevenueOfMonth::of);
    Ok(months
        .filter(|month| currency.is_none_or(|wanted| month.currency == wanted))
        .collect())
}

/// Reads how many invoices there are in each state, and what is due on them.
pub async fn states(table: &Table, scope: &Scope<ReadBilling>) -> Result<StatesView> {
    let by_status = Status::ALL.map(|status| (status.name().to_owned(), 0));
    let mut view = StatesView {
        by_status: by_status.into(),
        overdue: OverdueView::default(),
        due: BTreeMap::new(),
    };
    for (currency, sum) in of_currencies(table, scope, STATES).await? {
        for status in Status::ALL {
            let held = Held {
                count: sum.number(&format!("{COUNT}{}", status.name())),
                due: sum.minor(&format!("{DUE}{}", status.name())),
            };
            *view.by_status.entry(status.name().to_owned()).or_default() += held.count;
            if held.due != Minor::ZERO {
                *view.due.entry(currency).or_default() += held.due;
            }
            if status == Status::Overdue && held.count != 0 {
                view.overdue.count += held.count;
                view.overdue.amounts.insert(currency, held.due);
            }
        }
    }
    Ok(view)
}

/// Reads what subscriptions bring a month, by currency.
pub async fn monthly_recurring(table: &Table, scope: &Scope<ReadBilling>) -> Result<BTreeMap<Currency, Minor>> {
    let sums = of_currencies(table, scope, MRR).await?.into_iter();
    let amounts = sums.map(|(currency, sum)| (currency, sum.minor("amount")));
    Ok(amounts.filter(|(_, amount)| *amount != Minor::ZERO).collect())
}

/// The sums of a kind of which there is one for each currency.
async fn of_currencies(table: &Table, scope: &Scope<ReadBilling>, kind: &str) -> Result<Vec<(Currency, Sum)>> {
    let query = |after| {
        Query::of(partition(scope.org()), PAGE)
            .prefix(kind)
            .consistent()
            .after(after)
    };
    let sums = all(table, query).await?;
    Ok(sums
        .into_iter()
        .filter_map(|sum| Some((sum.currency()?, sum)))
        .collect())
}

async fn all(table: &Table, query: impl Fn(Option<table::Position>) -> Query) -> Result<Vec<Sum>> {
    let (mut sums, mut after) = (Vec::new(), None);
    for _ in 0..PAGES {
        let page = table.query::<Sum>(query(after)).await?;
        sums.extend(page.records);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(sums)
}

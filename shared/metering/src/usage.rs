//! Usage: credits by day, project, key and endpoint, as roll-ups that leases add to when they are settled. What open leases
//! have sold is added when somebody asks.
//!
//! A day of a project:   pk ORG#<org>#USAGE   sk <day>#<project>      (an attribute `c:<key>|<endpoint>` each; `r:` what was taken
//!                                                                     back of it after it had been counted)
//!
//! A question costs by its days and projects, not by calls.

use std::collections::{BTreeMap, HashMap};

use app::App;
use kernel::policy::ReadWallet;
use kernel::{ApiKeyId, Day, Error, OrgId, ProjectId, Result, Scope, Time, Zone};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use table::{Key, Query, Record, Table, TableName, Update, Write};

use crate::lease::{Lease, Tally};
use crate::wallet::{LOOKS, Wallet, amount};

/// A question covers at most so many days, …
pub const MOST_DAYS: i64 = 400;
/// … and so many days of projects.
const MOST_ROWS: usize = 20_000;
const PAGE: u16 = 1_000;
/// What counts of a day are called, …
const COUNTED: &str = "c";
/// … and what was taken back of them.
const CORRECTED: &str = "r";

/// How usage is added up over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// By day.
    Day,
    /// By calendar month.
    Month,
}

/// How usage is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupBy {
    /// By project.
    Project,
    /// By API key.
    Key,
    /// By method and path.
    Endpoint,
}

/// What usage is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// From the day of this moment on …
    pub from: Time,
    /// … to that before the day that begins at this moment, or that it lies in.
    pub to: Time,
    /// Over which spans.
    pub interval: Interval,
    /// By what; all together if nothing is said.
    pub group_by: Option<GroupBy>,
}

/// Credits of one span and group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditsUsed {
    /// When the day or month begins, in the zone of the organization.
    pub at: Time,
    /// The project, the key or the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "POST /v1/ingest/events")]
    pub group: Option<String>,
    /// How many credits were used; of a correction less than nothing.
    pub credits: i64,
    /// Whether this corrects what was counted in that span before: events that turned out to be repeated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    pub correction: bool,
}

/// A day of a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UsageRecord {
    #[serde(default)]
    pk: String,
    #[serde(default)]
    sk: String,
    #[serde(flatten)]
    rest: HashMap<String, Value>,
}

impl Record for UsageRecord {
    const KIND: &'static str = "usage";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        Key::of(&self.pk, &self.sk)
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#USAGE")
}

/// What adds to the roll-ups, a write for each of their items.
pub(crate) fn add<'a>(org: OrgId, used: impl Iterator<Item = (&'a Tally, i64)>) -> Vec<Write> {
    let mut days: BTreeMap<(Day, ProjectId), Vec<(String, i64)>> = BTreeMap::new();
    for (tally, credits) in used {
        let counts = days.entry((tally.day, tally.project)).or_default();
        let kind = if credits < 0 { CORRECTED } else { COUNTED };
        counts.push((format!("{kind}:{}|{}", tally.key, tally.endpoint), credits));
    }
    let write = |((day, project), counts): ((Day, ProjectId), Vec<(String, i64)>)| {
        let update = Update::of::<UsageRecord>(&Key::of(partition(org), format!("{day}#{project}")));
        let add = |update: Update, (name, credits): (String, i64)| update.add_number(&name, credits);
        counts.into_iter().fold(update, add).into()
    };
    days.into_iter().map(write).collect()
}

/// One count: of a day, a project, a key, an endpoint.
struct Row {
    day: Day,
    project: ProjectId,
    key: ApiKeyId,
    endpoint: String,
    credits: i64,
    is_correction: bool,
}

impl Row {
    fn of(tally: &Tally, credits: i64) -> Self {
        Self {
            day: tally.day,
            project: tally.project,
            key: tally.key,
            endpoint: tally.endpoint.clone(),
            credits,
            is_correction: false,
        }
    }
}

impl UsageRecord {
    fn rows(&self) -> impl Iterator<Item = Row> {
        let place = self.sk.split_once('#');
        let place = place.and_then(|(day, project)| Some((day.parse().ok()?, project.parse().ok()?)));
        self.rest.iter().filter_map(move |(name, value)| {
            let (day, project) = place?;
            let (kind, name) = name
                .split_once(':')
                .filter(|(kind, _)| [COUNTED, CORRECTED].contains(kind))?;
            let (key, endpoint) = name.split_once('|')?;
            Some(Row {
                day,
                project,
                key: key.parse().ok()?,
                endpoint: endpoint.to_owned(),
                credits: value.as_i64()?,
                is_correction: kind == CORRECTED,
            })
        })
    }
}

/// Answers a question about the scope's organization: by time, then by group; what is nothing is left out, and what was taken
/// back later has a line of its own.
pub async fn usage(app: &App, scope: &Scope<ReadWallet>, question: Question) -> Result<Vec<CreditsUsed>> {
    if question.to <= question.from {
        return Err(Error::invalid("to", "must be after `from`"));
    }
    if question.to.millis() - question.from.millis() > MOST_DAYS * Time::DAY {
        return Err(Error::invalid(
            "to",
            format!("must be at most {MOST_DAYS} days after `from`"),
        ));
    }
    for _ in 0..LOOKS {
        let (wallet, open) = Wallet::view(app, scope).await?;
        let zone = wallet.month.zone.clone();
        let (first, last) = (zone.day_of(question.from), zone.day_of(question.to.plus_millis(-1)));
        let mut rows = stored(&app.table, scope.org(), first, last).await?;
        let after = Lease::load_many(&app.table, scope.org(), &wallet.open).await?;
        // What one that was settled meanwhile had sold is among what is stored already.
        if after.iter().all(Lease::is_open) {
            let sold = open.iter().flat_map(Lease::unsettled);
            let asked = sold.filter(|(tally, _)| (first..=last).contains(&tally.day));
            rows.extend(asked.map(|(tally, credits)| Row::of(tally, amount(credits))));
            return Ok(add_up(rows, &zone, question));
        }
    }
    Err(Error::Busy)
}

fn add_up(rows: Vec<Row>, zone: &Zone, question: Question) -> Vec<CreditsUsed> {
    let mut sums: BTreeMap<(Day, Option<String>, bool), i64> = BTreeMap::new();
    for row in rows {
        let day = match question.interval {
            Interval::Day => row.day,
            Interval::Month => row.day.first_of_month(),
        };
        let group = question.group_by.map(|by| match by {
            GroupBy::Project => row.project.to_string(),
            GroupBy::Key => row.key.to_string(),
            GroupBy::Endpoint => row.endpoint,
        });
        *sums.entry((day, group, row.is_correction)).or_default() += row.credits;
    }
    let view = |((day, group, correction), credits)| CreditsUsed {
        at: zone.start_of(day),
        group,
        credits,
        correction,
    };
    sums.into_iter()
        .filter(|(_, credits)| *credits != 0)
        .map(view)
        .collect()
}

/// The roll-ups of these days, both included.
async fn stored(table: &Table, org: OrgId, first: Day, last: Day) -> Result<Vec<Row>> {
    let (mut rows, mut days, mut after) = (Vec::new(), 0, None);
    loop {
        let query = Query::of(partition(org), PAGE).between(format!("{first}"), format!("{}", last.plus_days(1)));
        let page = table.query::<UsageRecord>(query.consistent().after(after)).await?;
        days += page.records.len();
        rows.extend(page.records.iter().flat_map(UsageRecord::rows));
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
        if days > MOST_ROWS {
            return Err(Error::invalid(
                "from",
                "covers too many days of too many projects; ask for fewer days",
            ));
        }
    }
}

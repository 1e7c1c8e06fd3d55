//! Recurring invoices: what a person wrote once, on every day of a schedule. Days count from the first one, so none moves
//! because another was late, and each is one invoice, dated on it.

mod clock;
mod store;
mod view;

use kernel::{Check, ClientId, Day, Error, Input, OrgId, RecurringInvoiceId, Time, Zone};
use serde::{Deserialize, Serialize};

use crate::coupon::currency;
use crate::invoice::{Content, Source};
use crate::line::{self, Line, NewLine};
use crate::number::{Given, Rate};
use crate::price::number;
use crate::schedule::{Period, Schedule, Step, may_start};
use crate::tax::{TaxExempt, Taxation, Totals};

pub use view::{ItemView, RecurringView};

kernel::refusals! {
    /// Why a recurring invoice is not paused, resumed or cancelled.
    CannotTurn {
        /// It does not run.
        NotActive = "recurring_not_active": "only an active recurring invoice can be paused";
        /// It does not rest.
        NotPaused = "recurring_not_paused": "only a paused recurring invoice can be resumed";
        /// It was cancelled.
        Cancelled = "recurring_cancelled": "this recurring invoice was cancelled";
    }
}

/// How often an invoice recurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Recurrence {
    /// Every seven days.
    Weekly,
    /// Every month.
    Monthly,
    /// Every three months.
    Quarterly,
    /// Every year.
    Yearly,
}

impl Recurrence {
    /// What lies between two of its days.
    pub const fn step(self) -> Step {
        match self {
            Self::Weekly => Step::Days(7),
            Self::Monthly => Step::Months(1),
            Self::Quarterly => Step::Months(3),
            Self::Yearly => Step::Months(12),
        }
    }
}

/// The state of a recurring invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = RecurringInvoiceStatus)]
pub enum Status {
    /// It recurs.
    Active,
    /// It rests: the days of meanwhile are left out.
    Paused,
    /// It does not recur any more.
    Cancelled,
}

/// A recurring invoice, as a request says it.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRecurring {
    /// Who owes it.
    pub client_id: ClientId,
    /// 1 to 500 lines.
    pub line_items: Vec<NewLine>,
    /// In percent: at most four decimal places. The client's if it is not given, then the organization's.
    pub tax_rate: Option<Given>,
    /// Of ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// How often.
    pub interval: Recurrence,
    /// On which day first; it may lie in the past, and is caught up then.
    pub start_at: Time,
    /// The last moment on whose day it may recur.
    pub end_at: Option<Time>,
    /// How many days after its date it is due.
    #[schema(maximum = 365)]
    pub due_in_days: u16,
    /// Whether each is sent by itself, not left a draft.
    #[serde(default)]
    pub auto_send: bool,
    /// What its client should read, too.
    pub notes: Option<String>,
}

impl Input for NewRecurring {
    fn check(&self, check: &mut Check) {
        self.parts(check);
    }
}

impl NewRecurring {
    /// Reads its own rate, and notes everything that is wrong with it.
    fn parts(&self, check: &mut Check) -> Option<(kernel::Currency, Option<Rate>)> {
        let rate = self.tax_rate.as_ref().map(|given| number(check, "taxRate", given));
        let lines = line::read(check, "lineItems", &self.line_items, Taxation::default());
        let sums = Totals::of(&lines).is_ok();
        check.that(sums, "lineItems", "must come to less than 10^15 minor units");
        check.range("dueInDays", self.due_in_days, 0..=365);
        let in_order = self.end_at.is_none_or(|end| self.start_at <= end);
        check.that(in_order, "endAt", "must not lie before `startAt`");
        if let Some(notes) = &self.notes {
            check.text("notes", notes, 0..=2_000);
        }
        let currency = currency(check, "currency", &self.currency)?;
        // A rate that was given and cannot be read is not left out.
        let rate = rate.map_or(Some(None), |read| read.map(Some))?;
        Some((currency, rate))
    }
}

/// A line of a recurring invoice: its rate may be that of the client on the day that it recurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The line.
    pub line: Line,
    /// The rate that it says itself.
    pub tax_rate: Option<Rate>,
}

/// A recurring invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recurring {
    /// Its id.
    pub id: RecurringInvoiceId,
    /// Whose it is.
    pub org: OrgId,
    /// Who owes it.
    pub client: ClientId,
    /// Its state.
    pub status: Status,
    /// Its lines.
    pub items: Vec<Item>,
    /// The rate of lines that say none.
    pub tax_rate: Option<Rate>,
    /// What its amounts are.
    pub currency: kernel::Currency,
    /// How often.
    pub interval: Recurrence,
    /// Where its days begin: the client's zone when it was made.
    pub zone: Zone,
    /// Its first day.
    pub anchor: Day,
    /// The last day on which it may recur.
    pub last: Option<Day>,
    /// How many days after its date it is due.
    pub due_in_days: u16,
    /// Whether each is sent by itself.
    pub auto_send: bool,
    /// What its client should read, too.
    pub notes: Option<String>,
    /// The day that it recurs on next.
    pub next: Day,
    /// Days that are left out, because it was paused on them.
    pub gaps: Vec<Period>,
    /// Since when it is paused.
    pub paused_at: Option<Time>,
    /// When it was made.
    pub created_at: Time,
    /// When it recurs next, as its mark says.
    #[serde(default)]
    pub(crate) marked_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

impl Recurring {
    /// Makes a recurring invoice in a zone; `Invalid` with every rule that the request breaks.
    pub fn new(now: Time, org: OrgId, zone: Zone, new: &NewRecurring) -> kernel::Result<Self> {
        let mut check = Check::default();
        let parts = new.parts(&mut check);
        check.that(may_start(now, new.start_at), "startAt", "must lie within ten years");
        let lines = line::read(&mut Check::default(), "lineItems", &new.line_items, Taxation::default());
        check.done()?;
        let (currency, tax_rate) = parts.ok_or_else(|| Error::invalid("lineItems", "cannot be read"))?;
        let items = lines.into_iter().zip(&new.line_items).map(|(line, given)| Item {
            tax_rate: given.tax_rate.as_ref().map(|_| line.tax_rate),
            line,
        });
        let anchor = zone.day_of(new.start_at);
        Ok(Self {
            id: RecurringInvoiceId::new(now),
            org,
            client: new.client_id,
            status: Status::Active,
            items: items.collect(),
            tax_rate,
            currency,
            interval: new.interval,
            anchor,
            last: new.end_at.map(|end| zone.day_of(end)),
            due_in_days: new.due_in_days,
            auto_send: new.auto_send,
            notes: new.notes.clone(),
            next: anchor,
            zone,
            gaps: Vec::new(),
            paused_at: None,
            created_at: now,
            marked_at: None,
            version: 0,
        })
    }

    fn schedule(&self) -> Schedule {
        Schedule {
            anchor: self.anchor,
            step: self.interval.step(),
        }
    }

    /// When it recurs next; nothing while it rests, and once its last day is over.
    pub fn next_at(&self) -> Option<Time> {
        let at = self.zone.start_of(self.next);
        let is_over = self.last.is_some_and(|last| last < self.next);
        // What was due before it was paused or cancelled is made, however late.
        let rests = match (self.status, self.paused_at) {
            (Status::Active, _) => false,
            (_, Some(paused)) => paused < at,
            (_, None) => true,
        };
        (!is_over && !rests).then_some(at)
    }

    /// Whether there may be another invoice of it, now or once it is resumed.
    pub(crate) fn goes_on(&self) -> bool {
        let may_recur = self.status != Status::Cancelled && self.last.is_none_or(|last| self.next <= last);
        may_recur || self.next_at().is_some()
    }

    /// Makes the invoice of the next day, if that has come; and where it is from, of which there is one.
    pub fn recur(&mut self, now: Time, exempt: TaxExempt, rates: [Option<Rate>; 2]) -> Option<(Source, Content)> {
        self.next_at().filter(|at| *at <= now)?;
        let day = self.next;
        self.next = self.schedule().period(day).end;
        self.pass_gaps();
        let source = Source::Recurring {
            recurring: self.id,
            day,
        };
        Some((source, self.content(day, exempt, rates)))
    }

    fn content(&self, day: Day, exempt: TaxExempt, [client, org]: [Option<Rate>; 2]) -> Content {
        let taxation = Taxation::of(exempt, [self.tax_rate, client, org]);
        let items = self.items.iter().map(|item| Line {
            tax_rate: taxation.rate(item.tax_rate),
            ..item.line.clone()
        });
        Content {
            currency: self.currency,
            items: items.collect(),
            discount: None,
            exempt,
            issued_on: Some(day),
            due_date: day.plus_days(self.due_in_days.into()),
            notes: self.notes.clone(),
            zone: self.zone.clone(),
        }
    }

    /// Lets it rest.
    pub fn pause(&mut self, now: Time) -> Result<(), CannotTurn> {
        match self.status {
            Status::Active => {
                self.status = Status::Paused;
                self.paused_at = Some(now);
                Ok(())
            }
            Status::Paused => Err(CannotTurn::NotActive),
            Status::Cancelled => Err(CannotTurn::Cancelled),
        }
    }

    /// Lets it go on: from today, with the days of meanwhile left out. What was due before is made, however late.
    pub fn resume(&mut self, now: Time) -> Result<(), CannotTurn> {
        let paused_at = match (self.status, self.paused_at) {
            (Status::Paused, Some(at)) => at,
            (Status::Cancelled, _) => return Err(CannotTurn::Cancelled),
            _ => return Err(CannotTurn::NotPaused),
        };
        let schedule = self.schedule();
        let on_or_after = |day: Day| {
            let period = schedule.period(day);
            if period.first == day { day } else { period.end }
        };
        // Days that had begun when it was paused are not left out.
        let gap = Period {
            first: on_or_after(self.zone.day_of(paused_at).plus_days(1)),
            end: on_or_after(self.zone.day_of(now)),
        };
        if gap.first < gap.end {
            self.gaps.push(gap);
            self.pass_gaps();
        }
        self.status = Status::Active;
        self.paused_at = None;
        Ok(())
    }

    /// Moves on from a day that is left out.
    fn pass_gaps(&mut self) {
        while let Some(gap) = self.gaps.iter().position(|gap| gap.first <= self.next) {
            self.next = self.next.max(self.gaps.remove(gap).end);
        }
    }

    /// Ends it. What was due before is made, however late.
    pub fn cancel(&mut self, now: Time) -> Result<(), CannotTurn> {
        if self.status == Status::Cancelled {
            return Err(CannotTurn::Cancelled);
        }
        self.status = Status::Cancelled;
        self.paused_at.get_or_insert(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn recurring(interval: &str, start: &str, rest: &str) -> kernel::Result<Recurring> {
        let client = ClientId::from_bits(1);
        let json = format!(
            r#"{{"clientId":"{client}","currency":"EUR","interval":"{interval}","startAt":"{start}","dueInDays":10{rest},
            "lineItems":[{{"description":"a","quantity":2,"unitPrice":50}},
                {{"description":"b","quantity":1,"unitPrice":100,"taxRate":7}}]}}"#
        );
        let zone = "Europe/Berlin".parse().unwrap();
        Recurring::new(
            time(start),
            OrgId::from_bits(1),
            zone,
            &serde_json::from_str(&json).unwrap(),
        )
    }

    fn run(recurring: &mut Recurring, now: &str) -> Vec<String> {
        let mut days = Vec::new();
        while let Some((_, content)) = recurring.recur(time(now), TaxExempt::None, [None; 2]) {
            days.push(content.issued_on.unwrap().to_string());
        }
        days
    }

    /// S9.
    #[test]
    fn days_count_from_the_first_and_not_from_the_last_run() {
        let mut monthly = recurring("monthly", "2027-01-01T00:00:00+01:00", "").unwrap();
        assert_eq!(run(&mut monthly, "2027-01-31T00:00:00Z"), ["2027-01-01"]);
        for _ in 0..2 {
            let expected: &[&str] = if monthly.next.to_string() == "2027-02-01" {
                &["2027-02-01"]
            } else {
                &[]
            };
            assert_eq!(run(&mut monthly, "2027-02-03T12:00:00Z"), expected);
        }
        assert_eq!(monthly.next_at(), Some(time("2027-02-28T23:00:00Z")));
        assert_eq!(run(&mut monthly, "2028-01-20T00:00:00Z").len(), 11);
        assert_eq!(monthly.next.to_string(), "2028-02-01");
        // Begun in the past: every missed day until now, none that is to come.
        let mut past = recurring("monthly", "2026-10-31T12:00:00Z", "").unwrap();
        assert_eq!(
            run(&mut past, "2027-01-15T00:00:00Z"),
            ["2026-10-31", "2026-11-30", "2026-12-31"]
        );
    }

    #[test]
    fn every_interval_keeps_its_anchor() {
        for (interval, expected) in [
            ("weekly", ["2027-01-31", "2027-02-07", "2027-02-14"]),
            ("monthly", ["2027-01-31", "2027-02-28", "2027-03-31"]),
            ("quarterly", ["2027-01-31", "2027-04-30", "2027-07-31"]),
            ("yearly", ["2027-01-31", "2028-01-31", "2029-01-31"]),
        ] {
            let mut one = recurring(interval, "2027-01-31T12:00:00Z", "").unwrap();
            assert_eq!(run(&mut one, "2029-02-01T00:00:00Z")[..3], expected, "{interval}");
        }
    }

    #[test]
    fn the_last_day_is_the_end() {
        let mut one = recurring("monthly", "2027-01-31T12:00:00Z", r#","endAt":"2027-03-31T12:00:00Z""#).unwrap();
        assert_eq!(run(&mut one, "2030-01-01T00:00:00Z").len(), 3);
        assert_eq!(one.next_at(), None);
        assert!(recurring("monthly", "2027-01-31T12:00:00Z", r#","endAt":"2027-01-30T00:00:00Z""#).is_err());
    }

    #[test]
    fn lines_are_taxed_as_the_client_is_then() {
        let mut one = recurring("monthly", "2027-01-31T12:00:00Z", "").unwrap();
        let now = time("2028-01-01T00:00:00Z");
        let client = Some("19".parse().unwrap());
        let (source, content) = one.recur(now, TaxExempt::None, [client, None]).unwrap();
        let totals = content.computed().unwrap().1;
        assert_eq!(
            (totals.tax_amount.get(), content.due_date.to_string()),
            (19 + 7, "2027-02-10".to_owned())
        );
        assert!(matches!(source, Source::Recurring { day, .. } if day.to_string() == "2027-01-31"));
        let (_, exempt) = one.recur(now, TaxExempt::ReverseCharge, [client, None]).unwrap();
        assert_eq!(exempt.computed().unwrap().1.tax_amount.get(), 0);
    }

    #[test]
    fn a_pause_leaves_its_days_out() {
        let mut one = recurring("monthly", "2027-01-31T12:00:00Z", "").unwrap();
        run(&mut one, "2027-02-01T00:00:00Z");
        one.pause(time("2027-02-10T00:00:00Z")).unwrap();
        assert_eq!(one.pause(time("2027-02-10T00:00:00Z")), Err(CannotTurn::NotActive));
        assert_eq!(one.next_at(), None);
        assert!(run(&mut one, "2027-05-10T00:00:00Z").is_empty());
        one.resume(time("2027-05-10T00:00:00Z")).unwrap();
        assert_eq!(one.resume(time("2027-05-10T00:00:00Z")), Err(CannotTurn::NotPaused));
        assert_eq!(run(&mut one, "2027-06-10T00:00:00Z"), ["2027-05-31"]);
        one.cancel(time("2027-06-10T00:00:00Z")).unwrap();
        for refused in [
            one.clone().pause(time("2027-06-10T00:00:00Z")),
            one.clone().cancel(time("2027-06-10T00:00:00Z")),
        ] {
            assert_eq!(refused, Err(CannotTurn::Cancelled));
        }
        assert!(run(&mut one, "2030-01-01T00:00:00Z").is_empty());
    }

    #[test]
    fn what_was_due_before_a_pause_is_made_and_nothing_of_the_pause() {
        let mut late = recurring("weekly", "2027-01-01T12:00:00Z", "").unwrap();
        late.pause(time("2027-01-08T12:00:00Z")).unwrap();
        late.resume(time("2027-02-05T12:00:00Z")).unwrap();
        let expected = ["2027-01-01", "2027-01-08", "2027-02-05"];
        assert_eq!(run(&mut late, "2027-02-06T00:00:00Z"), expected);
        assert!(late.gaps.is_empty());
        // Paused before it began, resumed before it begins: nothing is left out.
        let mut early = recurring("weekly", "2027-03-05T12:00:00Z", "").unwrap();
        early.pause(time("2027-01-08T12:00:00Z")).unwrap();
        early.resume(time("2027-02-05T12:00:00Z")).unwrap();
        assert_eq!(run(&mut early, "2027-03-06T00:00:00Z"), ["2027-03-05"]);
    }

    #[test]
    fn what_was_due_before_the_end_is_made_however_late() {
        let mut one = recurring("monthly", "2027-01-31T12:00:00Z", "").unwrap();
        one.cancel(time("2027-03-10T00:00:00Z")).unwrap();
        assert_eq!(run(&mut one, "2027-06-10T00:00:00Z"), ["2027-01-31", "2027-02-28"]);
    }

    #[test]
    fn it_is_stored_and_read_the_same() {
        let one = recurring(
            "quarterly",
            "2027-01-31T12:00:00Z",
            r#","taxRate":"5.5","autoSend":true"#,
        )
        .unwrap();
        let stored = serde_json::to_value(&one).unwrap();
        assert_eq!(serde_json::from_value::<Recurring>(stored).unwrap(), one);
        assert!(recurring("monthly", "2027-01-31T12:00:00Z", r#","taxRate":"x""#).is_err());
        // Two thousand years of invoices are not caught up.
        assert!(!may_start(time("2027-01-31T12:00:00Z"), time("0001-01-01T00:00:00Z")));
        assert!(may_start(time("2027-01-31T12:00:00Z"), time("2017-02-01T00:00:00Z")));
    }
}

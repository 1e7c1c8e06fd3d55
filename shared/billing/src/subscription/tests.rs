//! Subscriptions over time: what each case says is billed, on which day, and what is given back.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use kernel::{OrgId, PlanId};
use proptest::prelude::*;

use super::*;
use crate::coupon::tests::discount;
use crate::invoice::{Content, Invoice};
use crate::price::tests::CALLS;
use crate::schedule::Interval;

/// A plan without a trial, named by its number.
fn terms(number: u32, interval: &str, prices: &str) -> Terms {
    let json = format!(r#"{{"name":"P{number}","interval":"{interval}","currency":"EUR","prices":[{prices}]}}"#);
    let plan = crate::plan::tests::plan(&json).unwrap();
    Terms {
        plan: PlanId::from_bits(number.into()),
        ..plan.terms
    }
}

fn flat(number: u32, amount: i64) -> Terms {
    terms(number, "monthly", &format!(r#"{{"kind":"flat","amount":{amount}}}"#))
}

fn per_unit(number: u32, amount: &str) -> Terms {
    let price = format!(r#"{{"kind":"perUnit",{CALLS},"unitAmount":"{amount}"}}"#);
    terms(number, "monthly", &price)
}

fn time(text: &str) -> Time {
    text.parse().unwrap()
}

fn new(terms: Terms, zone: &str, start: &str) -> NewSubscription {
    NewSubscription {
        org: OrgId::from_bits(1),
        contract: ContractId::from_bits(1),
        client: ClientId::from_bits(1),
        terms,
        quantity: Quantity::whole(1),
        zone: zone.parse().unwrap(),
        start_at: Some(time(start)),
        may_try: true,
        discount: None,
        contract_ends_at: None,
    }
}

/// One that began at `start`, in UTC.
fn sub(terms: Terms, start: &str) -> Subscription {
    Subscription::new(time(start), new(terms, "UTC", start), true)
}

const CONDITIONS: Conditions = Conditions {
    taxation: Taxation {
        rate: Rate::ZERO,
        exempt: crate::TaxExempt::None,
    },
    due_in_days: 14,
    usage_grace_hours: 1,
};

use crate::number::Rate;

/// Events that are counted: when each occurred, and when it became known.
#[derive(Default)]
struct Events(RefCell<Vec<(Time, Time)>>);

impl Events {
    fn occur(&self, at: &str, count: usize) {
        let at = time(at);
        self.0.borrow_mut().extend(vec![(at, at); count]);
    }

    fn arrive_late(&self, at: &str, known: &str, count: usize) {
        self.0.borrow_mut().extend(vec![(time(at), time(known)); count]);
    }

    fn units(&self, wanted: &Wanted, now: Time) -> Vec<Quantity> {
        let events = self.0.borrow();
        let inside = events
            .iter()
            .filter(|(at, known)| wanted.from <= *at && *at < wanted.until && *known <= now);
        let count = u32::try_from(inside.count()).unwrap();
        wanted.metrics.iter().map(|_| Quantity::whole(count)).collect()
    }
}

/// What is invoiced until `now`: day and total of each, oldest first.
fn run(sub: &mut Subscription, now: &str, events: &Events) -> Vec<(String, i64)> {
    let now = time(now);
    let done = sub
        .catch_up(now, &CONDITIONS, |wanted| events.units(wanted, now))
        .unwrap();
    done.iter()
        .map(|(_, content)| (content.issued_on.unwrap().to_string(), total(content)))
        .collect()
}

fn run_flat(sub: &mut Subscription, now: &str) -> Vec<(String, i64)> {
    run(sub, now, &Events::default())
}

fn total(content: &Content) -> i64 {
    content.computed().unwrap().1.total.get()
}

fn dated(all: &[(&str, i64)]) -> Vec<(String, i64)> {
    all.iter().map(|(day, total)| ((*day).to_owned(), *total)).collect()
}

/// S6.
#[test]
fn a_trial_across_a_clock_change_has_calendar_days() {
    let plan = Terms {
        trial_days: 30,
        ..flat(1, 900)
    };
    let start = "2027-03-02T07:30:00Z";
    let mut sub = Subscription::new(time(start), new(plan, "America/Los_Angeles", start), true);
    let trial_end = time("2027-03-31T07:00:00.000Z");
    assert_eq!(sub.begun.unwrap().trial_ends_at, Some(trial_end));
    assert_eq!(sub.begun.unwrap().anchor.to_string(), "2027-03-31");
    assert_eq!(sub.next_billing_at(), Some(trial_end));
    assert!(sub.is_tried(trial_end.plus_millis(-1)) && !sub.is_tried(trial_end));
    assert!(run_flat(&mut sub, "2027-03-31T06:59:59Z").is_empty());
    let mut starts = Vec::new();
    for at in ["2027-03-31T07:00:00Z", "2027-04-30T07:00:00Z", "2027-05-31T07:00:00Z"] {
        assert_eq!(sub.next_billing_at(), Some(time(at)));
        // Three runs: one invoice.
        for _ in 0..3 {
            starts.extend(run_flat(&mut sub, at));
        }
        assert_eq!(sub.last_billed_at, Some(time(at)));
    }
    assert_eq!(
        starts,
        dated(&[("2027-03-31", 900), ("2027-04-30", 900), ("2027-05-31", 900)])
    );
}

#[test]
fn the_key_is_the_start_of_the_period() {
    let mut sub = sub(flat(1, 900), "2027-01-31T10:30:00Z");
    let work = sub.work(&CONDITIONS).unwrap();
    assert_eq!(work.billing_key, format!("{}_2027-01-31T00:00:00.000Z", sub.id));
    let content = sub.bill(&work, &Usage::new(), &CONDITIONS).unwrap().unwrap();
    assert_eq!(content.due_date.to_string(), "2027-02-14");
    assert_eq!(sub.bill(&work, &Usage::new(), &CONDITIONS), Err(CannotBill::NotNext));
    sub.cancel(time("2027-02-01T00:00:00Z"), When::Now, CONDITIONS.taxation)
        .unwrap();
    let last = sub.work(&CONDITIONS).unwrap();
    assert_eq!(last.billing_key, format!("{}_closing", sub.id));
}

#[test]
fn one_trial_for_each_client_and_plan() {
    let plan = Terms {
        trial_days: 30,
        ..flat(1, 900)
    };
    let start = "2027-03-02T00:00:00Z";
    let again = NewSubscription {
        may_try: false,
        ..new(plan, "UTC", start)
    };
    let mut sub = Subscription::new(time(start), again, true);
    assert_eq!(run_flat(&mut sub, start), dated(&[("2027-03-02", 900)]));
}

/// S7.
#[test]
fn a_change_in_a_trial_neither_ends_nor_renews_it() {
    for trial_days in [0, 30] {
        let [a, b] = [flat(1, 1_500), flat(2, 2_500)];
        let [a, b] = [Terms { trial_days: 14, ..a }, Terms { trial_days, ..b }];
        let mut trial = sub(a, "2027-01-01T00:00:00Z");
        let preview = trial
            .clone()
            .change_plan(time("2027-01-05T12:00:00Z"), &b, When::Now, &CONDITIONS);
        let booked = trial.change_plan(time("2027-01-05T12:00:00Z"), &b, When::Now, &CONDITIONS);
        assert_eq!((preview, booked), (Ok(Changed::default()), Ok(Changed::default())));
        let mut ended = trial.clone();
        assert_eq!(
            run_flat(&mut trial, "2027-02-01T00:00:00Z"),
            dated(&[("2027-01-15", 2_500)])
        );
        for when in [When::Now, When::PeriodEnd] {
            let mut ended = ended.clone();
            let cancelled = ended
                .cancel(time("2027-01-10T00:00:00Z"), when, CONDITIONS.taxation)
                .unwrap();
            assert_eq!(cancelled.credit, None);
            assert!(run_flat(&mut ended, "2027-12-31T00:00:00Z").is_empty());
            assert_eq!((ended.status, ended.closed), (Status::Canceled, true));
        }
        // One that waits for the trial's end is shown with what it will bring.
        let upcoming = ended.change_plan(
            time("2027-01-06T00:00:00Z"),
            &flat(3, 700),
            When::PeriodEnd,
            &CONDITIONS,
        );
        assert_eq!(total(&upcoming.unwrap().upcoming.unwrap()), 700);
        assert_eq!(
            run_flat(&mut ended, "2027-02-01T00:00:00Z"),
            dated(&[("2027-01-15", 700)])
        );
    }
}

#[test]
fn usage_of_a_trial_is_free_unless_the_plan_says_otherwise() {
    for (billed, expected) in [
        (false, vec![("2027-02-15", 15)]),
        (true, vec![("2027-01-15", 12), ("2027-02-15", 15)]),
    ] {
        let plan = Terms {
            trial_days: 14,
            trial_usage_billed: billed,
            ..per_unit(1, "3")
        };
        let mut sub = sub(plan, "2027-01-01T00:00:00Z");
        let events = Events::default();
        events.occur("2027-01-14T23:59:59Z", 4);
        events.occur("2027-01-15T00:00:00Z", 5);
        assert_eq!(run(&mut sub, "2027-02-20T00:00:00Z", &events), dated(&expected));
    }
}

/// S8.
#[test]
fn cancelling_on_the_billing_day_bills_what_is_over_and_nothing_else() {
    let events = Events::default();
    events.occur("2027-02-27T23:59:59Z", 1_000);
    let mut sub = sub(per_unit(1, "3"), "2027-01-31T00:00:00Z");
    assert!(run(&mut sub, "2027-02-27T00:00:00Z", &events).is_empty());
    let cancelled = sub
        .cancel(time("2027-02-28T00:00:30Z"), When::Now, CONDITIONS.taxation)
        .unwrap();
    assert_eq!(cancelled.credit, None);
    // Its usage is waited for like any other.
    assert!(run(&mut sub, "2027-02-28T01:00:29Z", &events).is_empty());
    assert_eq!(
        run(&mut sub, "2027-02-28T01:00:30Z", &events),
        dated(&[("2027-02-28", 3_000)])
    );
    assert!(sub.closed && run(&mut sub, "2028-01-01T00:00:00Z", &events).is_empty());

    let events = Events::default();
    events.occur("2027-01-31T08:00:00Z", 400);
    let mut first_day = self::sub(per_unit(1, "3"), "2027-01-31T00:00:00Z");
    first_day
        .cancel(time("2027-01-31T20:00:00Z"), When::Now, CONDITIONS.taxation)
        .unwrap();
    assert_eq!(
        run(&mut first_day, "2027-02-01T00:00:00Z", &events),
        dated(&[("2027-01-31", 1_200)])
    );
    // With a flat price too, whose billing was still to come: it never does.
    let mut both = self::sub(flat(1, 900), "2027-01-31T00:00:00Z");
    run_flat(&mut both, "2027-01-31T00:00:00Z");
    both.cancel(time("2027-02-28T00:00:30Z"), When::Now, CONDITIONS.taxation)
        .unwrap();
    assert!(run_flat(&mut both, "2028-01-01T00:00:00Z").is_empty());
}

/// S9.
#[test]
fn what_is_late_is_dated_on_its_day() {
    let mut sub = sub(flat(1, 100), "2027-01-01T00:00:00Z");
    assert_eq!(
        run_flat(&mut sub, "2027-01-31T00:00:00Z"),
        dated(&[("2027-01-01", 100)])
    );
    assert_eq!(
        run_flat(&mut sub, "2027-02-03T12:00:00Z"),
        dated(&[("2027-02-01", 100)])
    );
    assert_eq!(sub.next_billing_at(), Some(time("2027-03-01T00:00:00Z")));
    assert_eq!(run_flat(&mut sub, "2028-01-20T00:00:00Z").len(), 11);
    assert_eq!(sub.next_billing_at(), Some(time("2028-02-01T00:00:00Z")));
    // Begun in the past: one for each missed date, none for one to come.
    let mut past = Subscription::new(
        time("2027-04-15T00:00:00Z"),
        new(flat(1, 100), "UTC", "2027-01-31T00:00:00Z"),
        true,
    );
    assert_eq!(
        run_flat(&mut past, "2027-04-15T00:00:00Z"),
        dated(&[("2027-01-31", 100), ("2027-02-28", 100), ("2027-03-31", 100)])
    );
}

/// S10.
#[test]
fn usage_keeps_the_price_of_its_day_and_late_usage_is_corrected() {
    let events = Events::default();
    events.occur("2027-01-15T23:59:59Z", 100);
    events.occur("2027-01-16T00:00:00Z", 40);
    let mut sub = sub(per_unit(1, "5"), "2027-01-01T00:00:00Z");
    run(&mut sub, "2027-01-16T15:00:00Z", &events);
    let changed = sub.change_plan(time("2027-01-16T15:00:00Z"), &per_unit(2, "3"), When::Now, &CONDITIONS);
    assert_eq!(changed, Ok(Changed::default()));
    // The grace is waited for.
    assert!(run(&mut sub, "2027-02-01T00:59:59Z", &events).is_empty());
    assert_eq!(
        run(&mut sub, "2027-02-01T01:00:00Z", &events),
        dated(&[("2027-02-01", 620)])
    );
    events.arrive_late("2027-01-10T00:00:00Z", "2027-02-11T00:00:00Z", 7);
    let now = time("2027-03-01T01:00:00Z");
    let done = sub
        .catch_up(now, &CONDITIONS, |wanted| events.units(wanted, now))
        .unwrap();
    let [(_, content)] = done.as_slice() else {
        panic!("{done:?}")
    };
    let [line] = content.items.as_slice() else {
        panic!("{content:?}")
    };
    assert_eq!(
        (line.kind, line.amount.get(), line.quantity),
        (LineKind::Correction, 35, Quantity::whole(7))
    );
    assert_eq!(line.description, "P1: call, late usage");
    // Once.
    assert!(run(&mut sub, "2027-04-02T00:00:00Z", &events).is_empty());
}

#[test]
fn usage_that_is_not_known_is_not_billed_as_nothing() {
    let mut sub = sub(per_unit(1, "5"), "2027-01-01T00:00:00Z");
    run_flat(&mut sub, "2027-01-01T00:00:00Z");
    let before = sub.clone();
    let work = sub.work(&CONDITIONS).unwrap();
    assert!(matches!(
        sub.bill(&work, &Usage::new(), &CONDITIONS),
        Err(CannotBill::UsageUnknown(_))
    ));
    assert_eq!(sub, before);
}

#[test]
fn a_tier_that_is_always_entered_is_billed_without_usage() {
    let tiers = r#""tiers":[{"upTo":null,"unitAmount":"2","flatAmount":1000}]"#;
    let plan = terms(1, "monthly", &format!(r#"{{"kind":"graduated",{CALLS},{tiers}}}"#));
    let mut sub = sub(plan, "2027-01-01T00:00:00Z");
    let events = Events::default();
    assert_eq!(
        run(&mut sub, "2027-02-10T00:00:00Z", &events),
        dated(&[("2027-02-01", 1_000)])
    );
    events.arrive_late("2027-01-10T00:00:00Z", "2027-02-11T00:00:00Z", 3);
    assert_eq!(
        run(&mut sub, "2027-03-10T00:00:00Z", &events),
        dated(&[("2027-03-01", 1_006)])
    );
}

#[test]
fn a_change_takes_and_gives_by_days() {
    // 16 of 31 days are left, the day of the change among them.
    let mut up = sub(flat(1, 1_000), "2027-01-01T00:00:00Z");
    run_flat(&mut up, "2027-01-01T00:00:00Z");
    let mut down = up.clone();
    let changed = up
        .change_plan(time("2027-01-16T23:00:00Z"), &flat(2, 2_500), When::Now, &CONDITIONS)
        .unwrap();
    let invoice = changed.invoice.unwrap();
    let amounts: Vec<i64> = invoice.items.iter().map(|line| line.amount.get()).collect();
    assert_eq!(
        (amounts, invoice.issued_on.unwrap().to_string()),
        (vec![-516, 1_290], "2027-01-16".to_owned())
    );
    assert_eq!(
        run_flat(&mut up, "2027-02-01T00:00:00Z"),
        dated(&[("2027-02-01", 2_500)])
    );

    let credit = down
        .change_plan(time("2027-01-16T00:00:00Z"), &flat(2, 500), When::Now, &CONDITIONS)
        .unwrap()
        .credit;
    let credit = credit.unwrap();
    let amounts: Vec<i64> = credit.lines.iter().map(|line| line.amount.get()).collect();
    assert_eq!((amounts, credit.totals.total.get()), (vec![516, -258], 258));
    // And back on the same day: the other way round.
    let back = down
        .change_plan(time("2027-01-16T01:00:00Z"), &flat(1, 1_000), When::Now, &CONDITIONS)
        .unwrap();
    assert_eq!(total(&back.invoice.unwrap()), 258);
}

#[test]
fn a_change_at_the_periods_end_waits_for_it() {
    let mut sub = sub(flat(1, 1_000), "2027-01-31T00:00:00Z");
    run_flat(&mut sub, "2027-01-31T00:00:00Z");
    let changed = sub
        .change_plan(
            time("2027-02-10T00:00:00Z"),
            &flat(2, 500),
            When::PeriodEnd,
            &CONDITIONS,
        )
        .unwrap();
    assert_eq!((changed.invoice, changed.credit), (None, None));
    let upcoming = changed.upcoming.unwrap();
    assert_eq!(
        (total(&upcoming), upcoming.issued_on.unwrap().to_string()),
        (500, "2027-02-28".to_owned())
    );
    assert_eq!(sub.terms.name, "P1");
    assert_eq!(
        run_flat(&mut sub, "2027-03-31T00:00:00Z"),
        dated(&[("2027-02-28", 500), ("2027-03-31", 500)])
    );
    assert_eq!(sub.terms.name, "P2");
}

#[test]
fn a_change_before_the_day_is_billed_needs_no_documents() {
    // On the billing day, before the run: the new plan is billed, by its usual invoice.
    let mut sub = sub(flat(1, 1_000), "2027-01-01T00:00:00Z");
    run_flat(&mut sub, "2027-01-01T00:00:00Z");
    let mut late = sub.clone();
    let changed = sub.change_plan(time("2027-02-01T00:00:10Z"), &flat(2, 500), When::Now, &CONDITIONS);
    assert_eq!(changed, Ok(Changed::default()));
    assert_eq!(
        run_flat(&mut sub, "2027-02-01T00:01:00Z"),
        dated(&[("2027-02-01", 500)])
    );
    // Ten days late: the old plan until then, the new one from then on. 1000 × 10/28 and 500 × 18/28.
    late.change_plan(time("2027-02-11T00:00:10Z"), &flat(2, 500), When::Now, &CONDITIONS)
        .unwrap();
    assert_eq!(
        run_flat(&mut late, "2027-03-01T00:00:00Z"),
        dated(&[("2027-02-01", 357), ("2027-02-11", 321), ("2027-03-01", 500)])
    );
}

#[test]
fn a_change_of_interval_keeps_the_anchor() {
    let yearly = terms(2, "yearly", r#"{"kind":"flat","amount":36500}"#);
    let mut sub = sub(flat(1, 2_800), "2027-01-31T00:00:00Z");
    run_flat(&mut sub, "2027-03-01T00:00:00Z");
    // 17 of 31 days of the month from 28 February are left on 14 March; 323 of 365 of the year from 31 January.
    let changed = sub
        .change_plan(time("2027-03-14T00:00:00Z"), &yearly, When::Now, &CONDITIONS)
        .unwrap();
    assert_eq!(total(&changed.invoice.unwrap()), 32_300 - 1_535);
    assert_eq!(sub.next_billing_at(), Some(time("2028-01-31T00:00:00Z")));
    // Back on 28 February: 338 days of the year are left, of the month that begins on that day 31.
    assert!(run_flat(&mut sub, "2028-01-30T00:00:00Z").is_empty());
    run_flat(&mut sub, "2028-01-31T00:00:00Z");
    let changed = sub
        .change_plan(time("2028-02-29T00:00:00Z"), &flat(1, 3_100), When::Now, &CONDITIONS)
        .unwrap();
    // 36500 × 337/366 is given back.
    assert_eq!(changed.credit.unwrap().totals.total.get(), 33_608 - 3_100);
    assert_eq!(sub.next_billing_at(), Some(time("2028-03-31T00:00:00Z")));
}

#[test]
fn changes_are_refused_by_name() {
    let mut sub = sub(flat(1, 1_000), "2027-01-01T00:00:00Z");
    let now = time("2027-01-10T00:00:00Z");
    let change = |sub: &mut Subscription, terms: &Terms| sub.change_plan(now, terms, When::Now, &CONDITIONS);
    assert_eq!(change(&mut sub, &flat(1, 5)), Err(CannotChange::SamePlan));
    let dollars = Terms {
        currency: "USD".parse().unwrap(),
        ..flat(2, 5)
    };
    assert_eq!(change(&mut sub, &dollars), Err(CannotChange::OtherCurrency));
    sub.pause(now, PausedBy::Person).unwrap();
    assert_eq!(change(&mut sub, &flat(2, 5)), Err(CannotChange::NotActive));
    assert_eq!(CannotChange::SamePlan.code(), "same_plan");
    // Each day another plan: that ends some time, until it is billed.
    let mut often = self::sub(per_unit(1, "1"), "2027-01-01T00:00:00Z");
    let changed = (1_u32..28).map(|day| {
        let now = time(&format!("2027-01-{day:02}T12:00:00Z"));
        run_flat(&mut often, &now.to_string());
        often.change_plan(now, &per_unit(1 + day % 2, "1"), When::Now, &CONDITIONS)
    });
    assert_eq!(
        changed
            .filter(|changed| *changed == Err(CannotChange::TooOften))
            .count(),
        4
    );
}

#[test]
fn cancelling_now_gives_back_the_unused_days() {
    let mut sub = sub(flat(1, 1_000), "2027-01-01T00:00:00Z");
    run_flat(&mut sub, "2027-01-01T00:00:00Z");
    let taxation = Taxation {
        rate: "19".parse().unwrap(),
        ..Taxation::default()
    };
    let credit = sub
        .cancel(time("2027-01-16T12:00:00Z"), When::Now, taxation)
        .unwrap()
        .credit
        .unwrap();
    // 16 of 31 days, and the tax on that.
    assert_eq!((credit.totals.subtotal.get(), credit.totals.total.get()), (516, 614));
    let number = DocumentNumber::new(crate::Series::CreditNotes, 2027, 1);
    let note = credit.numbered(time("2027-01-16T12:00:00Z"), &sub, number, "cancelled");
    assert_eq!((note.rest().get(), note.subscription), (614, Some(sub.id)));
    assert_eq!(sub.status, Status::Canceled);
    assert!(run_flat(&mut sub, "2028-01-01T00:00:00Z").is_empty());
    assert_eq!(
        sub.cancel(time("2027-01-17T00:00:00Z"), When::Now, taxation),
        Err(CannotCancel::Ended)
    );
}

#[test]
fn cancelling_for_the_periods_end_can_be_taken_back_until_then() {
    let mut sub = sub(flat(1, 1_000), "2027-01-31T00:00:00Z");
    run_flat(&mut sub, "2027-01-31T00:00:00Z");
    assert_eq!(
        sub.uncancel(time("2027-02-01T00:00:00Z")),
        Err(CannotCancel::NotCancelled)
    );
    let cancelled = sub
        .cancel(time("2027-02-10T00:00:00Z"), When::PeriodEnd, CONDITIONS.taxation)
        .unwrap();
    assert_eq!(
        (cancelled.credit, sub.status, sub.next_billing_at()),
        (None, Status::Active, None)
    );
    let mut stays = sub.clone();
    stays.uncancel(time("2027-02-27T23:59:59Z")).unwrap();
    assert_eq!(
        run_flat(&mut stays, "2027-02-28T00:00:00Z"),
        dated(&[("2027-02-28", 1_000)])
    );
    assert_eq!(sub.uncancel(time("2027-02-28T00:00:00Z")), Err(CannotCancel::Ended));
    assert!(run_flat(&mut sub, "2027-02-28T00:00:00Z").is_empty());
    assert_eq!((sub.status, sub.closed), (Status::Canceled, true));
}

#[test]
fn a_pause_lets_no_period_begin_and_returns_nothing() {
    let mut sub = sub(flat(1, 3_000), "2027-01-31T00:00:00Z");
    run_flat(&mut sub, "2027-01-31T00:00:00Z");
    sub.pause(time("2027-02-10T00:00:00Z"), PausedBy::Person).unwrap();
    assert_eq!(
        sub.pause(time("2027-02-10T00:00:00Z"), PausedBy::Person),
        Err(CannotPause::NotActive)
    );
    assert_eq!(sub.next_billing_at(), None);
    let mut soon = sub.clone();
    // Within the period that is paid: nothing to bill.
    soon.resume(time("2027-02-20T00:00:00Z"), true).unwrap();
    assert_eq!(
        run_flat(&mut soon, "2027-02-28T00:00:00Z"),
        dated(&[("2027-02-28", 3_000)])
    );
    // After some periods: from today to the anchor, 16 of 30 days, then as ever.
    assert!(run_flat(&mut sub, "2027-05-15T00:00:00Z").is_empty());
    sub.resume(time("2027-05-15T15:00:00Z"), true).unwrap();
    assert_eq!(
        run_flat(&mut sub, "2027-06-30T00:00:00Z"),
        dated(&[("2027-05-15", 1_548), ("2027-05-31", 3_000), ("2027-06-30", 3_000)])
    );
    assert_eq!(
        sub.resume(time("2027-07-01T00:00:00Z"), true),
        Err(CannotResume::NotPaused)
    );
}

#[test]
fn a_pause_ends_usage_with_the_period_that_runs() {
    // The first 50 units of a period are free, however often it is paused in it.
    let tiers = r#""tiers":[{"upTo":50,"unitAmount":"0"},{"upTo":null,"unitAmount":"2"}]"#;
    let plan = terms(1, "monthly", &format!(r#"{{"kind":"graduated",{CALLS},{tiers}}}"#));
    let mut sub = sub(plan, "2027-01-01T00:00:00Z");
    let events = Events::default();
    events.occur("2027-01-05T00:00:00Z", 40);
    events.occur("2027-01-15T00:00:00Z", 30);
    events.occur("2027-02-05T00:00:00Z", 1_000);
    events.occur("2027-03-15T00:00:00Z", 60);
    run(&mut sub, "2027-01-10T00:00:00Z", &events);
    sub.pause(time("2027-01-10T00:00:00Z"), PausedBy::Person).unwrap();
    sub.resume(time("2027-01-12T00:00:00Z"), true).unwrap();
    sub.pause(time("2027-01-14T00:00:00Z"), PausedBy::Person).unwrap();
    let mut resumed_at_once = sub.clone();
    resumed_at_once.resume(time("2027-01-20T00:00:00Z"), true).unwrap();
    // 20 of 70 units are paid, and all but 50 of the 1,000 of February.
    assert_eq!(
        run(&mut resumed_at_once, "2027-03-02T00:00:00Z", &events),
        dated(&[("2027-02-01", 40), ("2027-03-01", 1_900)])
    );
    assert!(run(&mut sub, "2027-03-10T00:00:00Z", &events).is_empty());
    sub.resume(time("2027-03-10T00:00:00Z"), true).unwrap();
    assert_eq!(
        run(&mut sub, "2027-04-02T00:00:00Z", &events),
        dated(&[("2027-03-10", 40), ("2027-04-01", 20)])
    );
}

#[test]
fn a_pause_on_the_billing_day_before_the_run_keeps_periods_apart() {
    let tiers = r#""tiers":[{"upTo":50,"unitAmount":"0"},{"upTo":null,"unitAmount":"2"}]"#;
    let plan = terms(1, "monthly", &format!(r#"{{"kind":"graduated",{CALLS},{tiers}}}"#));
    let mut sub = sub(plan, "2027-01-01T00:00:00Z");
    let events = Events::default();
    events.occur("2027-01-05T00:00:00Z", 60);
    events.occur("2027-02-05T00:00:00Z", 60);
    run(&mut sub, "2027-01-10T00:00:00Z", &events);
    sub.pause(time("2027-02-01T00:30:00Z"), PausedBy::Person).unwrap();
    assert_eq!(
        run(&mut sub, "2027-02-01T01:00:00Z", &events),
        dated(&[("2027-02-01", 20)])
    );
    // February had begun: its usage is billed when it goes on, or ends.
    let ended = sub
        .cancel(time("2027-06-01T00:00:00Z"), When::Now, CONDITIONS.taxation)
        .unwrap();
    assert_eq!(ended.credit, None);
    assert_eq!(
        run(&mut sub, "2027-07-01T00:00:00Z", &events),
        dated(&[("2027-06-01", 20)])
    );
}

#[test]
fn what_had_begun_before_a_pause_is_billed_however_late() {
    let mut sub = sub(flat(1, 3_000), "2027-01-01T00:00:00Z");
    // Nothing runs from January on. Paused in February, resumed in May.
    sub.pause(time("2027-02-10T00:00:00Z"), PausedBy::Person).unwrap();
    sub.resume(time("2027-05-16T00:00:00Z"), true).unwrap();
    assert_eq!(
        run_flat(&mut sub, "2027-06-01T00:00:00Z"),
        dated(&[
            ("2027-01-01", 3_000),
            ("2027-02-01", 3_000),
            ("2027-05-16", 1_548),
            ("2027-06-01", 3_000)
        ])
    );
}

#[test]
fn a_contract_pauses_and_resumes_and_begins_what_it_has() {
    let start = "2027-01-10T00:00:00Z";
    let later = NewSubscription {
        start_at: None,
        ..new(flat(1, 3_100), "UTC", start)
    };
    let mut sub = Subscription::new(time(start), later, false);
    assert_eq!(
        (sub.status, sub.next_billing_at(), sub.work(&CONDITIONS)),
        (Status::Paused, None, None)
    );
    assert_eq!(sub.resume(time(start), false), Err(CannotResume::ContractRests));
    // The contract becomes active.
    sub.resume(time("2027-01-20T12:00:00Z"), true).unwrap();
    assert_eq!(
        run_flat(&mut sub, "2027-01-20T12:00:00Z"),
        dated(&[("2027-01-20", 3_100)])
    );
    sub.pause(time("2027-01-25T00:00:00Z"), PausedBy::Contract).unwrap();
    assert!(sub.is_paused_by_contract());
}

#[test]
fn the_end_of_a_contract_prorates_the_last_flat() {
    let start = "2027-01-01T00:00:00Z";
    for (end, last, status) in [
        // Its last day is the 15th, whether it ends in its middle or at its end.
        ("2027-02-15T12:00:00Z", 1_500, Status::Expired),
        ("2027-02-16T00:00:00Z", 1_500, Status::Expired),
        ("2027-02-16T00:00:00.001Z", 1_600, Status::Expired),
    ] {
        let bounded = NewSubscription {
            contract_ends_at: Some(time(end)),
            ..new(flat(1, 2_800), "UTC", start)
        };
        let mut sub = Subscription::new(time(start), bounded, true);
        assert_eq!(
            run_flat(&mut sub, "2028-01-01T00:00:00Z"),
            dated(&[("2027-01-01", 2_800), ("2027-02-01", last)])
        );
        assert_eq!((sub.status, sub.closed, sub.end.unwrap().at), (status, true, time(end)));
        assert_eq!(
            sub.pause(time("2028-01-01T00:00:00Z"), PausedBy::Person),
            Err(CannotPause::NotActive)
        );
    }
}

#[test]
fn a_change_takes_no_days_after_the_end() {
    let start = "2027-01-01T00:00:00Z";
    let bounded = NewSubscription {
        contract_ends_at: Some(time("2027-02-16T00:00:00Z")),
        ..new(flat(1, 2_800), "UTC", start)
    };
    let mut sub = Subscription::new(time(start), bounded, true);
    run_flat(&mut sub, "2027-02-01T00:00:00Z");
    // 8 days are left until the contract ends, at 100 and at 200 a day.
    let now = time("2027-02-08T00:00:00Z");
    let monthly = sub
        .clone()
        .change_plan(now, &flat(2, 5_600), When::Now, &CONDITIONS)
        .unwrap();
    assert_eq!(total(&monthly.invoice.unwrap()), 1_600 - 800);
    let yearly = terms(2, "yearly", r#"{"kind":"flat","amount":73000}"#);
    let yearly = sub.change_plan(now, &yearly, When::Now, &CONDITIONS).unwrap();
    assert_eq!(total(&yearly.invoice.unwrap()), 1_600 - 800);
    assert!(run_flat(&mut sub, "2028-02-01T00:00:00Z").is_empty());
}

#[test]
fn a_period_that_begins_with_a_pause_has_begun() {
    let mut sub = sub(flat(1, 3_000), "2027-01-01T00:00:00Z");
    run_flat(&mut sub, "2027-01-01T00:00:00Z");
    let mut before = sub.clone();
    sub.pause(time("2027-02-01T00:00:00Z"), PausedBy::Person).unwrap();
    assert_eq!(
        run_flat(&mut sub, "2027-05-01T00:00:00Z"),
        dated(&[("2027-02-01", 3_000)])
    );
    before
        .pause(time("2027-01-31T23:59:59.999Z"), PausedBy::Person)
        .unwrap();
    assert!(run_flat(&mut before, "2027-05-01T00:00:00Z").is_empty());
}

#[test]
fn a_discount_is_taken_back_with_what_it_was_on() {
    let mut free = sub(flat(1, 1_000), "2027-01-01T00:00:00Z");
    free.discount = Some(discount(r#"{"code":"ALL","percentOff":100,"duration":"forever"}"#));
    assert_eq!(run_flat(&mut free, "2027-01-01T00:00:00Z"), dated(&[("2027-01-01", 0)]));
    let credit = free
        .cancel(time("2027-01-16T00:00:00Z"), When::Now, CONDITIONS.taxation)
        .unwrap()
        .credit;
    assert_eq!(credit, None, "money for what was free");

    let mut half = sub(flat(1, 1_000), "2027-01-01T00:00:00Z");
    half.discount = Some(discount(r#"{"code":"HALF","percentOff":50,"duration":"once"}"#));
    assert_eq!(
        run_flat(&mut half, "2027-01-01T00:00:00Z"),
        dated(&[("2027-01-01", 500)])
    );
    let changed = half
        .clone()
        .change_plan(time("2027-01-16T00:00:00Z"), &flat(2, 3_100), When::Now, &CONDITIONS)
        .unwrap();
    let amounts: Vec<i64> = changed
        .invoice
        .unwrap()
        .items
        .iter()
        .map(|line| line.amount.get())
        .collect();
    assert_eq!(amounts, [-516, 258, 1_600, -800]);
    assert_eq!(
        run_flat(&mut half, "2027-02-01T00:00:00Z"),
        dated(&[("2027-02-01", 1_000)])
    );
}

#[test]
fn the_flat_price_is_taken_as_often_as_the_quantity_says() {
    let seats = NewSubscription {
        quantity: "2.5".parse().unwrap(),
        ..new(flat(1, 333), "UTC", "2027-01-01T00:00:00Z")
    };
    let mut sub = Subscription::new(time("2027-01-01T00:00:00Z"), seats, true);
    assert_eq!(
        run_flat(&mut sub, "2027-01-01T00:00:00Z"),
        dated(&[("2027-01-01", 833)])
    );
}

#[test]
fn a_subscription_is_stored_and_read_the_same() {
    let mut sub = sub(per_unit(1, "0.125"), "2027-01-01T00:00:00Z");
    run(&mut sub, "2027-02-02T00:00:00Z", &Events::default());
    sub.change_plan(time("2027-02-10T00:00:00Z"), &flat(2, 5), When::PeriodEnd, &CONDITIONS)
        .unwrap();
    sub.pause(time("2027-02-10T00:00:00Z"), PausedBy::Person).unwrap();
    let stored = serde_json::to_value(&sub).unwrap();
    assert_eq!(serde_json::from_value::<Subscription>(stored).unwrap(), sub);
}

/// S17.
#[test]
fn the_revenue_of_a_month_is_what_runs() {
    let start = "2027-01-01T00:00:00Z";
    let now = time("2027-01-10T00:00:00Z");
    let plan = |interval: &str, amount: i64| terms(1, interval, &format!(r#"{{"kind":"flat","amount":{amount}}}"#));
    let of = |terms: Terms| sub(terms, start);
    let trial = of(Terms {
        trial_days: 30,
        ..plan("monthly", 9_900)
    });
    let mut paused = of(plan("monthly", 2_000));
    paused.pause(now, PausedBy::Person).unwrap();
    let mut cancelled = of(plan("monthly", 700));
    cancelled.cancel(now, When::Now, CONDITIONS.taxation).unwrap();
    let dollars = of(Terms {
        currency: "USD".parse().unwrap(),
        ..plan("monthly", 50)
    });
    let mut half = of(plan("monthly", 101));
    half.discount = Some(discount(r#"{"code":"A","percentOff":50,"duration":"forever"}"#));
    let mut once = of(plan("monthly", 100));
    once.discount = Some(discount(r#"{"code":"A","percentOff":50,"duration":"once"}"#));
    let metered = of(per_unit(1, "5"));
    let to_come = Subscription::new(now, new(plan("monthly", 5_000), "UTC", "2027-02-01T00:00:00Z"), true);
    let running = [
        of(plan("monthly", 4_900)),
        of(plan("yearly", 120_000)),
        of(plan("30d", 3_000)),
    ];
    let all = running.iter().chain([&trial, &paused, &cancelled, &metered, &to_come]);
    let eur: kernel::Currency = "EUR".parse().unwrap();
    let usd: kernel::Currency = "USD".parse().unwrap();
    let expected = BTreeMap::from([(eur, Minor::new(17_942)), (usd, Minor::new(50))]);
    assert_eq!(crate::revenue::monthly(all.chain([&dollars]), now), expected);
    let discounted = crate::revenue::monthly([&half, &once], now);
    assert_eq!(discounted, BTreeMap::from([(eur, Minor::new(50 + 100))]));
}

/// The sweep: however the clock moves, one invoice for each period, dated on its day.
#[test]
fn one_invoice_a_period_over_ten_years() {
    for zone in [
        "UTC",
        "Europe/Berlin",
        "America/Havana",
        "Asia/Beirut",
        "Pacific/Auckland",
    ] {
        for (interval, months, by_days) in [("monthly", 1, 0), ("yearly", 12, 0), ("30d", 0, 30)] {
            for start in ["2024-01-31", "2024-02-29", "2025-05-30", "2026-12-28"] {
                let first: Day = start.parse().unwrap();
                let zone: Zone = zone.parse().unwrap();
                let begin = zone.start_of(first);
                let terms = terms(1, interval, r#"{"kind":"flat","amount":100}"#);
                let mut by_steps = Subscription::new(begin, new(terms, zone.name(), &begin.to_string()), true);
                let mut at_once = by_steps.clone();
                let end = zone.start_of(first.plus_months(120));
                let mut now = begin;
                let mut found = Vec::new();
                while now < end {
                    found.extend(by_steps.catch_up(now, &CONDITIONS, |_| vec![]).unwrap());
                    now = now.plus_millis(37 * Time::HOUR);
                }
                found.extend(by_steps.catch_up(end.plus_millis(-1), &CONDITIONS, |_| vec![]).unwrap());
                assert_eq!(
                    at_once.catch_up(end.plus_millis(-1), &CONDITIONS, |_| vec![]).unwrap(),
                    found
                );
                let days: Vec<Day> = found.iter().map(|(work, _)| work.day).collect();
                let expected = (0..).map(|n| first.plus_months(n * months).plus_days(n * by_days));
                let expected: Vec<Day> = expected.take_while(|day| zone.start_of(*day) < end).collect();
                assert_eq!(days, expected, "{zone} {interval} {start}");
                let keys: BTreeSet<&str> = found.iter().map(|(work, _)| work.billing_key.as_str()).collect();
                assert_eq!(keys.len(), found.len());
            }
        }
    }
}

/// A thing that happens to a subscription.
#[derive(Clone, Debug)]
enum Deed {
    Run,
    Pause,
    Resume,
    Change(u32, bool),
    Cancel(bool),
    Uncancel,
}

fn deeds() -> impl Strategy<Value = Vec<(i64, Deed)>> {
    let deed = prop_oneof![
        4 => Just(Deed::Run),
        2 => Just(Deed::Pause),
        2 => Just(Deed::Resume),
        3 => (1_u32..6, any::<bool>()).prop_map(|(plan, now)| Deed::Change(plan, now)),
        1 => any::<bool>().prop_map(Deed::Cancel),
        1 => Just(Deed::Uncancel),
    ];
    prop::collection::vec((0_i64..60 * 24, deed), 1..25)
}

/// Five plans of different prices and intervals.
fn some_plan(number: u32) -> Terms {
    let interval = ["monthly", "30d", "yearly", "monthly", "monthly"][(number as usize - 1) % 5];
    let price = 731 * i64::from(number * number);
    terms(number, interval, &format!(r#"{{"kind":"flat","amount":{price}}}"#))
}

fn when(now: bool) -> When {
    if now { When::Now } else { When::PeriodEnd }
}

/// How often each day was billed, less how often it was given back.
#[derive(Default)]
struct Billed(BTreeMap<Day, i32>);

impl Billed {
    fn add(&mut self, lines: &[Line]) {
        for line in lines {
            let (Some(period), false) = (line.period, line.kind == LineKind::Discount) else {
                continue;
            };
            let sign = if line.amount < Minor::ZERO { -1 } else { 1 };
            for n in 0..period.days() {
                *self.0.entry(period.first.plus_days(n.into())).or_default() += sign;
            }
        }
    }

    fn take(&mut self, credit: Option<&Credit>) {
        let mirrored = credit.iter().flat_map(|credit| &credit.lines).map(|line| Line {
            amount: -line.amount,
            ..line.clone()
        });
        self.add(&mirrored.collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// What a preview shows is what is booked, to the unit, and what the arithmetic says: 1,000 random changes.
    #[test]
    fn a_preview_is_what_is_booked(
        old in 0_i64..10_000_000, new_price in 0_i64..10_000_000, quantity in 1_u32..50,
        start in 0_i64..1_500, after in 0_i64..400, hour in 0_i64..24, rate in 0_usize..4, yearly: bool, at_end: bool,
        zone in 0_usize..3,
    ) {
        let zone: Zone = ["UTC", "Europe/Berlin", "Pacific/Auckland"][zone].parse().unwrap();
        let first = "2024-01-01".parse::<Day>().unwrap().plus_days(start);
        let begin = zone.start_of(first);
        let interval = if yearly { "yearly" } else { "monthly" };
        let plan = |number, amount| terms(number, interval, &format!(r#"{{"kind":"flat","amount":{amount}}}"#));
        let seats = NewSubscription {
            quantity: Quantity::whole(quantity),
            ..new(plan(1, old), zone.name(), &begin.to_string())
        };
        let mut sub = Subscription::new(begin, seats, true);
        let now = zone.start_of(first.plus_days(after)).plus_millis(hour * Time::HOUR);
        let conditions = Conditions {
            taxation: Taxation { rate: ["0", "7", "19", "8.5"][rate].parse().unwrap(), ..Taxation::default() },
            ..CONDITIONS
        };
        sub.catch_up(now, &conditions, |_| vec![]).unwrap();
        let today = zone.day_of(now);
        let period = Schedule { anchor: first, step: sub.terms.interval.step() }.period(today);
        let when = when(!at_end);
        let preview = sub.clone().change_plan(now, &plan(2, new_price), when, &conditions).unwrap();
        let booked = sub.change_plan(now, &plan(2, new_price), when, &conditions).unwrap();
        prop_assert_eq!(&preview, &booked);
        if at_end {
            let next = zone.start_of(period.end);
            let done = sub.catch_up(next, &conditions, |_| vec![]).unwrap();
            prop_assert_eq!(&booked.upcoming, &Some(done[0].1.clone()));
            return Ok(());
        }
        let share = |amount: i64| Minor::new(amount * i64::from(quantity)).share(period.from(today).days(), period.days());
        let net = share(new_price) - share(old);
        let tax = conditions.taxation.rate.of(net);
        let found = match (&booked.invoice, &booked.credit) {
            (Some(content), None) => {
                let invoice = Invoice::draft(now, sub.org, sub.client, sub.source_of_change(), content.clone()).unwrap();
                prop_assert_eq!(&invoice.totals, &content.computed().unwrap().1);
                invoice.totals
            }
            (None, Some(credit)) => Totals { subtotal: -credit.totals.subtotal, tax_amount: -credit.totals.tax_amount,
                total: -credit.totals.total, taxes: vec![] },
            (None, None) => Totals::default(),
            both => panic!("{both:?}"),
        };
        prop_assert_eq!((found.subtotal, found.tax_amount, found.total), (net, tax, net + tax));
        // The anchor stays.
        prop_assert_eq!(sub.next_billing_at(), Some(zone.start_of(period.end)));
    }
}

proptest! {
    /// Whatever is done with it, whenever, and however late it is billed: no day is billed twice, none is given back that
    /// was not billed, no key comes twice, and nothing comes after the last invoice.
    #[test]
    fn no_day_is_billed_twice(deeds in deeds(), start in 0_i64..400) {
        let begin = time("2024-01-01T00:00:00Z").plus_millis(start * Time::DAY);
        let mut sub = Subscription::new(begin, new(some_plan(1), "Europe/Berlin", &begin.to_string()), true);
        let (mut now, mut billed, mut keys) = (begin, Billed::default(), BTreeSet::new());
        for (hours, deed) in deeds.into_iter().chain([(24 * 800, Deed::Run)]) {
            now = now.plus_millis(hours * Time::HOUR);
            match deed {
                Deed::Run => {
                    for (work, content) in sub.catch_up(now, &CONDITIONS, |_| vec![]).unwrap() {
                        prop_assert!(work.at <= now);
                        prop_assert!(keys.insert(work.billing_key.clone()), "{} twice", work.billing_key);
                        billed.add(&content.items);
                    }
                }
                Deed::Pause => {
                    let _ = sub.pause(now, PausedBy::Person);
                },
                Deed::Resume => {
                    let _ = sub.resume(now, true);
                },
                Deed::Uncancel => {
                    let _ = sub.uncancel(now);
                },
                Deed::Cancel(at_once) => {
                    if let Ok(cancelled) = sub.cancel(now, when(at_once), CONDITIONS.taxation) {
                        billed.take(cancelled.credit.as_ref());
                    }
                }
                Deed::Change(plan, at_once) => {
                    let changed = sub.change_plan(now, &some_plan(plan), when(at_once), &CONDITIONS);
                    if let Ok(changed) = changed {
                        billed.add(changed.invoice.as_ref().map_or(&[], |content| content.items.as_slice()));
                        billed.take(changed.credit.as_ref());
                    }
                }
            }
            for (day, times) in &billed.0 {
                prop_assert!((0..=1).contains(times), "{day} was billed {times} times");
            }
        }
        let stored = serde_json::to_value(&sub).unwrap();
        prop_assert_eq!(serde_json::from_value::<Subscription>(stored).unwrap(), sub);
    }

    /// Whatever is done with it: the time whose usage is billed never overlaps, so no event is charged twice, and in
    /// front of the last invoice none is left out but where it was paused or tried.
    #[test]
    fn no_usage_is_charged_twice(deeds in deeds(), start in 0_i64..400) {
        let begin = time("2024-01-01T00:00:00Z").plus_millis(start * Time::DAY);
        let metered = |plan: u32| Terms {
            prices: per_unit(plan, "1").prices,
            ..some_plan(plan)
        };
        let mut sub = Subscription::new(begin, new(metered(1), "Europe/Berlin", &begin.to_string()), true);
        let (mut now, mut was_paused) = (begin, false);
        let billed = RefCell::new(Vec::new());
        for (hours, deed) in deeds.into_iter().chain([(24 * 800, Deed::Run)]) {
            now = now.plus_millis(hours * Time::HOUR);
            match deed {
                Deed::Run => {
                    let units = |wanted: &Wanted| {
                        if wanted.settled.is_none() {
                            billed.borrow_mut().push((wanted.from, wanted.until));
                        }
                        vec![Quantity::whole(1)]
                    };
                    sub.catch_up(now, &CONDITIONS, units).unwrap();
                }
                Deed::Pause => was_paused |= sub.pause(now, PausedBy::Person).is_ok(),
                Deed::Resume => {
                    let _ = sub.resume(now, true);
                }
                Deed::Uncancel => {
                    let _ = sub.uncancel(now);
                }
                Deed::Cancel(at_once) => {
                    let _ = sub.cancel(now, when(at_once), CONDITIONS.taxation);
                }
                Deed::Change(plan, at_once) => {
                    let _ = sub.change_plan(now, &metered(plan), when(at_once), &CONDITIONS);
                }
            }
        }
        let mut billed = billed.into_inner();
        billed.sort();
        for pair in billed.windows(2) {
            prop_assert!(pair[0].1 <= pair[1].0, "{pair:?} overlap");
            prop_assert!(was_paused || pair[0].1 == pair[1].0, "a hole in {pair:?}");
        }
        prop_assert!(billed.first().is_none_or(|(from, _)| *from == begin));
    }

    /// One that is left alone: every day from its start is billed once, in one run or in many.
    #[test]
    fn every_day_is_billed_once(start in 0_i64..1_000, steps in prop::collection::vec(1_i64..2_000, 1..30), plan in 1_u32..6) {
        let begin = time("2024-01-01T00:00:00Z").plus_millis(start * Time::DAY);
        let mut sub = Subscription::new(begin, new(some_plan(plan), "America/New_York", &begin.to_string()), true);
        let mut at_once = sub.clone();
        let (mut now, mut billed, mut found) = (begin, Billed::default(), Vec::new());
        for hours in steps {
            now = now.plus_millis(hours * Time::HOUR);
            found.extend(sub.catch_up(now, &CONDITIONS, |_| vec![]).unwrap());
        }
        prop_assert_eq!(&at_once.catch_up(now, &CONDITIONS, |_| vec![]).unwrap(), &found);
        prop_assert_eq!(&at_once, &sub);
        for (_, content) in &found {
            billed.add(&content.items);
        }
        let (first, next) = (sub.begun.unwrap().anchor, sub.next.unwrap());
        prop_assert_eq!(i64::try_from(billed.0.len()), Ok(first.days_until(next)));
        prop_assert!(billed.0.values().all(|times| *times == 1));
        prop_assert!(sub.zone.start_of(next) > now);
    }

    /// Usage is charged once, at the price of its day, in whatever steps it is billed.
    #[test]
    fn all_usage_is_charged_once(
        occurred in prop::collection::vec((0_i64..24 * 90, 0_i64..24 * 30), 0..40),
        steps in prop::collection::vec(1_i64..400, 1..12),
    ) {
        let begin = time("2027-01-31T00:00:00Z");
        let mut sub = sub(per_unit(1, "7"), "2027-01-31T00:00:00Z");
        let events = Events::default();
        for (hours, late) in &occurred {
            let at = begin.plus_millis(hours * Time::HOUR);
            events.arrive_late(&at.to_string(), &at.plus_millis(late * Time::HOUR).to_string(), 1);
        }
        let (mut now, mut sum) = (begin, 0);
        for hours in steps.into_iter().chain([24 * 150, 24 * 40]) {
            now = now.plus_millis(hours * Time::HOUR);
            sum += run(&mut sub, &now.to_string(), &events).iter().map(|(_, total)| total).sum::<i64>();
        }
        prop_assert_eq!(Ok(sum), i64::try_from(7 * occurred.len()));
    }
}

#[test]
fn intervals_of_the_plans_above_are_all() {
    let all: BTreeSet<String> = (1..6).map(|plan| format!("{:?}", some_plan(plan).interval)).collect();
    assert_eq!(all.len(), [Interval::Monthly, Interval::Yearly, Interval::Days30].len());
}

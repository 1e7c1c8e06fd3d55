//! `rate(…)` and `cron(…)` as EventBridge reads them, in UTC.
//!
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html>

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Every so many seconds.
    Rate(i64),
    /// At the minutes that match.
    Cron(Box<Cron>),
}

/// The six fields of a cron expression; `None` for a field that allows everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Vec<i32>,
    hours: Vec<i32>,
    days: Option<Vec<i32>>,
    last_day: bool,
    months: Vec<i32>,
    weekdays: Option<Vec<i32>>,
    years: Option<Vec<i32>>,
}

impl FromStr for Expression {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let inner = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inner("rate") {
            let (count, unit) = rate.trim().split_once(' ').context("rate takes a number and a unit")?;
            let count: i64 = count.parse().context("rate takes a whole number")?;
            let unit_s = match unit.trim().trim_end_matches('s') {
                "minute" => 60,
                "hour" => 3600,
                "day" => 86_400,
                other => bail!("rate has no unit {other:?}"),
            };
            if count < 1 {
                bail!("rate must be positive");
            }
            return Ok(Self::Rate(count * unit_s));
        }
        let Some(cron) = inner("cron") else {
            bail!("neither rate(…) nor cron(…)")
        };
        Ok(Self::Cron(Box::new(read_cron(cron)?)))
    }
}

impl Expression {
    /// Finds the first time after `last` at which it is due, both in milliseconds since 1970; none if never again.
    pub fn next_after(&self, last_ms: i64) -> Option<i64> {
        match self {
            Self::Rate(seconds) => Some(last_ms + seconds * 1000),
            Self::Cron(cron) => cron.next_after(last_ms),
        }
    }
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

fn read_cron(text: &str) -> Result<Cron> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays, years] = fields[..] else {
        bail!("cron takes six fields");
    };
    if (days == "?") == (weekdays == "?") {
        bail!("exactly one of day of month and day of week must be ?");
    }
    let last_day = days == "L";

    Ok(Cron {
        minutes: read_field(minutes, 0, 59, &[])?.unwrap_or_else(|| (0..60).collect()),
        hours: read_field(hours, 0, 23, &[])?.unwrap_or_else(|| (0..24).collect()),
        days: if last_day { None } else { read_field(days, 1, 31, &[])? },
        last_day,
        months: read_field(months, 1, 12, &MONTHS)?.unwrap_or_else(|| (1..13).collect()),
        weekdays: read_field(weekdays, 1, 7, &WEEKDAYS)?,
        years: read_field(years, 1970, 2199, &[])?,
    })
}

fn read_field(text: &str, least: i32, most: i32, names: &[&str]) -> Result<Option<Vec<i32>>> {
    if text == "*" || text == "?" {
        return Ok(None);
    }
    let number = |word: &str| -> Result<i32> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word));
        let value = match named {
            Some(index) => i32::try_from(index)? + 1,
            None => word
                .parse()
                .with_context(|| format!("{word:?} is not served in a cron field"))?,
        };
        if !(least..=most).contains(&value) {
            bail!("{value} is not between {least} and {most}");
        }
        Ok(value)
    };
    let mut values = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().context("a step must be a number")?)),
            None => (part, None),
        };
        if step == Some(0) {
            bail!("a step must be positive");
        }
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step.is_some() => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            bail!("the range {range} runs backward");
        }
        values.extend((from..=to).step_by(step.unwrap_or(1)));
    }
    values.sort_unstable();
    values.dedup();

    Ok(Some(values))
}

/// How far ahead to look for a match: leap days come every eight years at worst.
const DAYS_AHEAD: usize = 8 * 366;

impl Cron {
    fn next_after(&self, last_ms: i64) -> Option<i64> {
        let last = Timestamp::from_millisecond(last_ms).ok()?;
        let start = Offset::UTC.to_datetime(last);
        let mut date = start.date();
        for _ in 0..DAYS_AHEAD {
            if self.has_day(date) {
                for &hour in &self.hours {
                    for &minute in &self.minutes {
                        let time = date.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
                        if time > start {
                            return Some(Offset::UTC.to_timestamp(time).ok()?.as_millisecond());
                        }
                    }
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }

        None
    }

    fn has_day(&self, date: Date) -> bool {
        let allows = |field: &Option<Vec<i32>>, value: i32| field.as_ref().is_none_or(|list| list.contains(&value));
        let weekday = i32::from(Weekday::to_sunday_one_offset(date.weekday()));
        self.months.contains(&i32::from(date.month()))
            && allows(&self.years, i32::from(date.year()))
            && allows(&self.days, i32::from(date.day()))
            && allows(&self.weekdays, weekday)
            && (!self.last_day || date == date.last_of_month())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_next(expression: &str, after: &str, expected: &str) {
        let expression: Expression = expression.parse().unwrap();
        let after: Timestamp = after.parse().unwrap();
        let next = expression.next_after(after.as_millisecond()).unwrap();
        assert_eq!(Timestamp::from_millisecond(next).unwrap(), expected.parse().unwrap());
    }

    #[test]
    fn rates_count_from_the_last_firing() {
        check_next("rate(1 minute)", "2026-01-31T23:59:30Z", "2026-02-01T00:00:30Z");
        check_next("rate(2 days)", "2026-01-31T00:00:00Z", "2026-02-02T00:00:00Z");
    }

    #[test]
    fn crons_find_the_next_match() {
        check_next("cron(0 10 * * ? *)", "2026-01-31T10:00:00Z", "2026-02-01T10:00:00Z");
        check_next("cron(0/15 * * * ? *)", "2026-01-31T23:46:00Z", "2026-02-01T00:00:00Z");
        check_next(
            "cron(15 12 ? * MON-FRI *)",
            "2026-11-20T12:15:00Z",
            "2026-11-23T12:15:00Z",
        );
        check_next("cron(0 0 L * ? *)", "2028-02-01T00:00:00Z", "2028-02-29T00:00:00Z");
        check_next(
            "cron(5,35 8-9 1 JAN ? 2030)",
            "2026-01-01T00:00:00Z",
            "2030-01-01T08:05:00Z",
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "rate(0 minutes)",
            "rate(5)",
            "rate(5 weeks)",
            "cron(* * * * * *)",
            "cron(61 * * * ? *)",
            "at(now)",
        ] {
            assert!(text.parse::<Expression>().is_err(), "{text}");
        }
        assert!("cron(0 0 3W * ? *)".parse::<Expression>().is_err());
    }

    #[test]
    fn a_past_year_is_never_due() {
        let expression: Expression = "cron(0 0 1 1 ? 2020)".parse().unwrap();
        assert_eq!(expression.next_after(real()), None);
    }

    fn real() -> i64 {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond()
    }
}

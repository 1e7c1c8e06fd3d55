//! What was used: the events of a project under some names, for whoever charges for them.

use std::collections::HashMap;

use kernel::{ProjectId, Result, Time};
use table::{Query, Table};

use crate::Event;
use crate::metrics::Range;
use crate::search::Wanted;
use crate::store::{self, ChunkRecord, DayHead};
use crate::writer::events_of;

/// Entries that are read in one page, and chunks whose events are read at once.
const PAGE: u16 = 64;

/// A day with more events is read by the hour.
const MANY: u64 = 20_000;

/// Events of which names, whose, from when until when.
#[derive(Clone, Debug)]
pub struct Used {
    /// Their names.
    pub names: Vec<String>,
    /// Whose `userId`; everybody's if absent.
    pub user: Option<String>,
    /// When they occurred.
    pub range: Range,
}

/// How many events count so far of each day (its first instant) that a range touches; none of days without, or that are not
/// kept any more at `now`. Events of a day are only ever added, so as long as its number is the same, they are.
pub async fn counted(
    table: &Table,
    project: ProjectId,
    (range, now): (Range, Time),
    consistent: bool,
) -> Result<HashMap<Time, u64>> {
    let days = range.days().filter(|day| store::is_kept(*day, now));
    let days: HashMap<String, Time> = days.map(|day| (day.day(), day)).collect();
    let keys: Vec<_> = days.keys().map(|day| store::head_key(project, day)).collect();
    let heads = table.get_many::<DayHead>(&keys, consistent).await?;
    let counted = heads
        .iter()
        .filter_map(|head| Some((*days.get(head.day())?, head.events())));
    Ok(counted.filter(|(_, events)| *events > 0).collect())
}

/// The slices of a day in which events may be that occurred from some instant on, by when the last event of their chunk did: its
/// hours if it has many events, all of it otherwise. Each can be read on its own.
pub fn slices(day: Time, from: Time, events: u64) -> impl Iterator<Item = Range> {
    let parts = if events > MANY { 24 } else { 1 };
    let length = Time::DAY / parts;
    let slices = (0..parts).map(move |place| Range {
        from: day.plus_millis(place * length),
        to: day.plus_millis((place + 1) * length),
    });
    slices.filter(move |slice| slice.to > from)
}

/// Takes each such event of one slice of a project's day once, in no order. It reads the entries of all its chunks, and of
/// those that may hold such events their events.
pub async fn each_event(
    table: &Table,
    project: ProjectId,
    slice: Range,
    used: &Used,
    mut take: impl FnMut(&Event),
) -> Result<()> {
    let wanted = |name: &String| Wanted {
        range: used.range,
        kind: None,
        name: Some(name.clone()),
        user_id: used.user.clone(),
    };
    let wanted: Vec<Wanted> = used.names.iter().map(wanted).collect();
    let is_wanted = |event: &Event| wanted.iter().any(|wanted| wanted.admits(event));
    let may_hold = |entry: &ChunkRecord| {
        let is_early = entry.first_ms < used.range.to.millis();
        entry.events > 0 && is_early && wanted.iter().any(|wanted| wanted.may_be_in(entry))
    };
    let day = slice.from.day();
    let (pk, first, last) = store::chunks_between(project, &day, slice.from.millis(), slice.to.millis() - 1);
    let mut next = None;
    loop {
        let query = Query::of(&pk, PAGE).between(&first, &last).consistent().after(next);
        let page = table.query::<ChunkRecord>(query).await?;
        let entries = page.records.into_iter().filter(may_hold).collect();
        let events = events_of(table, project, &day, entries).await?.into_iter().flatten();
        events.filter(&is_wanted).for_each(|event| take(&event));
        next = page.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_every_later_moment_of_the_day_once() {
        let day = Time::from_millis(20_000 * Time::DAY);
        for (events, from, expected) in [
            (MANY, 0, 1),
            (MANY + 1, 0, 24),
            (MANY + 1, 90, 23),
            (MANY + 1, 23 * 60 + 59, 1),
        ] {
            let from = day.plus_millis(from * Time::MINUTE);
            let slices: Vec<Range> = slices(day, from, events).collect();
            assert_eq!(slices.len(), expected);
            assert!(slices[0].from <= from && slices.windows(2).all(|pair| pair[0].to == pair[1].from));
            assert_eq!(slices.last().unwrap().to, day.plus_millis(Time::DAY));
        }
    }
}

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

/// How many events count so far of each day (its first instant) that a range touches; none of days without. Events of a day are
/// only ever added, so as long as its number is the same, they are.
pub async fn counted(table: &Table, project: ProjectId, range: Range, consistent: bool) -> Result<HashMap<Time, u64>> {
    let days: HashMap<String, Time> = range.days().map(|day| (day.day(), day)).collect();
    let keys: Vec<_> = days.keys().map(|day| store::head_key(project, day)).collect();
    let heads = table.get_many::<DayHead>(&keys, consistent).await?;
    let counted = heads
        .iter()
        .filter_map(|head| Some((*days.get(head.day())?, head.events())));
    Ok(counted.filter(|(_, events)| *events > 0).collect())
}

/// Takes each such event of one day of a project once, in no order. It reads the entries of all chunks of that time, and of
/// those that may hold such events their events.
pub async fn each_event(
    table: &Table,
    project: ProjectId,
    day: Time,
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
    let day = day.day();
    let (pk, first, last) = store::chunks_between(project, &day, used.range.from.millis(), i64::MAX);
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

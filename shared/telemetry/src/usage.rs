//! The events of one user under some names: what whoever charges for them counts.

use kernel::{ProjectId, Result};
use table::{Query, Table};

use crate::Event;
use crate::metrics::Range;
use crate::search::Wanted;
use crate::store::{self, ChunkRecord, DayHead};
use crate::writer::counted_events;

/// Entries that are read in one page, and chunks whose events are read at once.
const PAGE: u16 = 64;

/// Whose events, of which names, from when until when.
#[derive(Clone, Debug)]
pub struct Used {
    /// Their names.
    pub names: Vec<String>,
    /// Whose `userId`.
    pub user: String,
    /// When they occurred.
    pub range: Range,
}

/// Takes each such event of a project once, in no order. It reads the entries of all chunks of the time, and of those
/// that may hold such events their events.
pub async fn each_event(table: &Table, project: ProjectId, used: &Used, mut take: impl FnMut(&Event)) -> Result<()> {
    let wanted = |name: &String| Wanted {
        range: used.range,
        kind: None,
        name: Some(name.clone()),
        user_id: Some(used.user.clone()),
    };
    let wanted: Vec<Wanted> = used.names.iter().map(wanted).collect();
    let is_wanted = |event: &Event| wanted.iter().any(|wanted| wanted.admits(event));
    // The heads tell which days have events at all.
    let days = used.range.days().map(|day| store::head_key(project, &day.day()));
    let heads = table.get_many::<DayHead>(&days.collect::<Vec<_>>(), true).await?;
    for day in heads.iter().map(DayHead::day) {
        let (pk, first, last) = store::chunks_between(project, day, used.range.from.millis(), i64::MAX);
        let mut next = None;
        loop {
            let query = Query::of(&pk, PAGE).between(&first, &last).consistent().after(next);
            let page = table.query::<ChunkRecord>(query).await?;
            let may_hold = |entry: &&ChunkRecord| {
                let is_early = entry.first_ms < used.range.to.millis();
                entry.events > 0 && is_early && wanted.iter().any(|wanted| wanted.may_be_in(entry))
            };
            let places: Vec<_> = page.records.iter().filter(may_hold).map(ChunkRecord::place).collect();
            let events = counted_events(table, project, day, &places)
                .await?
                .into_iter()
                .flatten();
            events.filter(&is_wanted).for_each(|event| take(&event));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
    }
    Ok(())
}

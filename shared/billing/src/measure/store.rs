//! Reads what a client used: events of all projects of the organization whose `userId` is the client's `externalId`.

use std::collections::HashMap;

use app::{App, Recent};
use identity::Project;
use kernel::{Error, OrgId, ProjectId, Result, Time};
use telemetry::metrics::Range;
use telemetry::usage;

use super::Measure;
use super::tally::{self, Part};
use crate::subscription::{Known, Seen, Usage, Wanted};

/// How many events there were of the days of usage that was billed, which all subscriptions ask for: so many days are remembered.
struct Counted(Recent<(ProjectId, Time), u64>);

impl Default for Counted {
    fn default() -> Self {
        Self(Recent::new(10_000))
    }
}

/// The units of each metric of each span that is wanted, as events are known now; none of a span that was billed and of which
/// no more has become known since; if there will be another invoice, as seen half a minute ago. A client without an external id
/// used nothing.
pub(crate) async fn usage(
    app: &App,
    org: OrgId,
    external_id: Option<&str>,
    wanted: &[Wanted],
    is_closing: bool,
) -> Result<Usage> {
    let is_wanted = wanted.iter().any(|span| !span.metrics.is_empty());
    let projects = match external_id {
        Some(_) if is_wanted => Project::ever(&app.table, org).await?,
        _ => Vec::new(),
    };
    let mut found = Usage::new();
    for span in wanted {
        let mut parts = Vec::new();
        for project in &projects {
            parts.push((*project, parts_of(app, *project, span, is_closing).await?));
        }
        let events = |parts: &[Part]| parts.iter().map(|part| part.events).sum::<u64>();
        let seen = Seen {
            events: parts.iter().map(|(_, parts)| events(parts)).sum(),
            user: external_id.map(str::to_owned),
        };
        if span.settled.as_ref() == Some(&seen) {
            continue;
        }
        let mut measures: Vec<Measure> = span.metrics.iter().cloned().map(Measure::new).collect();
        for (project, parts) in &parts {
            measure(
                app,
                (org, *project),
                external_id.unwrap_or_default(),
                parts,
                &mut measures,
            )
            .await?;
        }
        let units = measures.iter().map(Measure::units).collect::<Result<_, _>>();
        let units = units.map_err(|too_much| Error::from(anyhow::anyhow!(too_much)))?;
        found.insert(span.span, Known { units, seen });
    }
    Ok(found)
}

/// The days of a span that have events, all or a part of each.
async fn parts_of(app: &App, project: ProjectId, span: &Wanted, is_closing: bool) -> Result<Vec<Part>> {
    let range = Range {
        from: span.from,
        to: span.until,
    };
    if range.from >= range.to {
        return Ok(Vec::new());
    }
    let counted = if is_closing || span.settled.is_none() {
        usage::counted(&app.table, project, (range, app.now()), true).await?
    } else {
        counted_lately(app, project, range).await?
    };
    let part = |day: Time| Part {
        day,
        range: Range {
            from: day.max(range.from),
            to: day.plus_millis(Time::DAY).min(range.to),
        },
        events: counted.get(&day).copied().unwrap_or_default(),
    };
    Ok(range.days().map(part).filter(|part| part.events > 0).collect())
}

/// How many events each day has, as it was seen half a minute ago at most.
async fn counted_lately(app: &App, project: ProjectId, range: Range) -> Result<HashMap<Time, u64>> {
    let (recent, now) = (app.memory.of::<Counted>(), app.now());
    let known: Option<HashMap<Time, u64>> = range
        .days()
        .map(|day| Some((day, recent.0.get(&(project, day), now)?)))
        .collect();
    if let Some(known) = known {
        return Ok(known);
    }
    let counted = usage::counted(&app.table, project, (range, now), false).await?;
    for day in range.days() {
        let events = counted.get(&day).copied().unwrap_or_default();
        recent.0.put((project, day), events, now);
    }
    Ok(counted)
}

/// Adds what a user used in some parts of days: from the tallies of those that are over, from the events of the others.
async fn measure(
    app: &App,
    place: (OrgId, ProjectId),
    user: &str,
    parts: &[Part],
    measures: &mut [Measure],
) -> Result<()> {
    let (over, open): (Vec<Part>, Vec<Part>) = parts.iter().cloned().partition(|part| part.is_tallied(app.now()));
    tally::add(app, place, user, &over, measures).await?;
    let mut measures: Vec<&mut Measure> = measures.iter_mut().collect();
    for part in &open {
        tally::add_alone(app, place.1, user, part, &mut measures).await?;
    }
    Ok(())
}

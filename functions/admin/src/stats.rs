//! /v1/admin/stats: how much there is of everything, counted when it is asked for, by reads that have a bound.

use std::collections::BTreeMap;

use axum::extract::State;
use gate::{Guarded, Routes, routes};
use identity::{Org, Project, User};
use jobs::store;
use kernel::policy::ReadStats;
use kernel::{ProjectId, Scope, Time};
use lambda::{App, Json, Result};
use serde::Serialize;
use table::Tally;

/// Events are counted of so many projects, the newest, …
const MOST_PROJECTS: usize = 2_000;
/// … which are read so many at a time.
const PAGE: u16 = 500;

pub(crate) fn routes() -> Routes<Guarded> {
    Routes::new().signed_in(routes![get_stats])
}

/// How much there is of everything. What counting would take too long for is counted in part, and `complete` says so.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformStats)]
struct Stats {
    /// When it was counted.
    at: Time,
    /// People.
    people: People,
    /// Organizations that were not deleted.
    orgs: Counted,
    /// Projects that were not deleted.
    projects: Counted,
    /// Events that count so far, by the day (UTC) on which they occurred, of the newest 2,000 projects.
    events: Events,
    /// Jobs that are to be done and jobs that are dead, by queue and state.
    jobs: BTreeMap<String, Depth>,
}

/// How many there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PlatformCount)]
struct Counted {
    /// So many, …
    total: u64,
    /// … and no more; if not, at least so many.
    complete: bool,
}

/// How many people there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PlatformPeople)]
struct People {
    /// All of them.
    total: u64,
    /// Those who may log in.
    active: u64,
    /// Those who may not.
    deactivated: u64,
    /// Whether all were counted; if not, there are at least so many.
    complete: bool,
}

/// How many events there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PlatformEvents)]
struct Events {
    /// Those of today.
    today: u64,
    /// Those of yesterday.
    yesterday: u64,
    /// Whether those of all projects were counted.
    complete: bool,
}

/// How many jobs of a queue there are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QueueDepth)]
struct Depth {
    /// By state: `PENDING`, `RUNNING`, `FAILED`, `DEAD`.
    states: BTreeMap<String, u64>,
    /// Whether all were counted; if not, there are at least so many.
    complete: bool,
}

impl From<Tally> for Counted {
    fn from(tally: Tally) -> Self {
        Self {
            total: tally.counts.values().sum(),
            complete: tally.complete,
        }
    }
}

impl From<Tally> for People {
    fn from(tally: Tally) -> Self {
        let of = |status: &str| tally.counts.get(status).copied().unwrap_or(0);
        Self {
            total: tally.counts.values().sum(),
            active: of("active"),
            deactivated: of("deactivated"),
            complete: tally.complete,
        }
    }
}

/// Counts people, organizations, projects, events and jobs
///
/// As they were a moment ago. Counting has a bound, 20,000 of each (of jobs 20,000 of each part of a queue, of events the newest 2,000
/// projects): where it was reached, `complete` is false, and the numbers beside it say how many there are at least.
#[utoipa::path(get, path = "/v1/admin/stats", operation_id = "get_stats", tag = "Platform",
    responses((status = 200, body = Stats)))]
async fn get_stats(State(app): State<App>, scope: Scope<ReadStats>) -> Result<Json<Stats>> {
    let table = &app.table;
    let (people, orgs, projects, events, jobs) = tokio::try_join!(
        User::count(table, &scope),
        Org::count(table, &scope),
        Project::count(table, &scope),
        events(&app, &scope),
        store::counts(table, &scope),
    )?;
    let depth = |depth: store::Depth| {
        let states = depth.counts.into_iter();
        let states = states.map(|(state, count)| (state.name().to_owned(), count));
        let (states, complete) = (states.collect(), depth.complete);
        (depth.queue.to_owned(), Depth { states, complete })
    };
    Ok(Json(Stats {
        at: app.now(),
        people: people.into(),
        orgs: orgs.into(),
        projects: projects.into(),
        events,
        jobs: jobs.into_iter().map(depth).collect(),
    }))
}

async fn events(app: &App, scope: &Scope<ReadStats>) -> kernel::Result<Events> {
    let (mut projects, mut last) = (Vec::new(), ProjectId::from_bits(u128::MAX));
    let complete = loop {
        let page = Project::everywhere(&app.table, scope, None, last, PAGE).await?;
        projects.extend(page.records.iter().map(|project| project.id));
        let next = page.next;
        let Some(oldest) = projects.last().filter(|_| next.is_some()) else {
            break true;
        };
        if projects.len() >= MOST_PROJECTS {
            break false;
        }
        last = ProjectId::from_bits(oldest.bits().saturating_sub(1));
    };
    let today = app.now().floor(Time::DAY);
    let (today, yesterday) = tokio::try_join!(
        telemetry::metrics::of_day(&app.table, scope, &projects, today),
        telemetry::metrics::of_day(&app.table, scope, &projects, today.plus_millis(-Time::DAY)),
    )?;
    Ok(Events {
        today,
        yesterday,
        complete,
    })
}

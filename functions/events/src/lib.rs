//! /v1/events: search of the raw events.

use axum::extract::State;
use gate::{Guarded, Routes, Serve, routes};
use identity::project::Project;
use kernel::{EventId, ProjectId, Scope, Time, policy};
use lambda::{App, Function, Json, List, Pages, Path, Query};
use serde::Deserialize;
use table::Slice;
use telemetry::EventView;
use telemetry::metrics::Range;
use telemetry::search::{self, Position, Wanted};

/// The function.
pub const FUNCTION: Function = gate::function::<Events>("events");

struct Events;

impl Serve for Events {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new().members(routes![search_events, get_event])
    }
}

/// Which events are searched for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// The project.
    project_id: ProjectId,
    /// The first moment; 24 hours before `to` if absent.
    from: Option<Time>,
    /// The first moment after; now if absent. At most 401 days after `from`.
    to: Option<Time>,
    /// Only events of this type.
    r#type: Option<String>,
    /// Only events of this name.
    name: Option<String>,
    /// Only events of this user.
    user_id: Option<String>,
}

/// Where a search goes on, and until when: without a `to` of its own it ends where its first page ended.
#[derive(serde::Serialize, Deserialize)]
struct Bookmark {
    position: Position,
    from: Time,
    to: Time,
}

/// Searches a project's events, newest first
///
/// A page reads a bounded part of the events; it may be short, even empty, and yet have a `nextCursor`.
#[utoipa::path(get, path = "/v1/events", tag = "Events", params(SearchQuery,
        ("limit" = Option<u16>, Query, description = "How many events at most: 1 to 100, 50 if absent.", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before.")),
    responses((status = 200, description = "A page of events.", body = List<EventView>)))]
async fn search_events(
    State(app): State<App>,
    scope: Scope<policy::ReadEvents>,
    pages: Pages<SearchQuery>,
) -> lambda::Result<Json<List<EventView>>> {
    let (query, limit) = (&pages.filter, pages.limit(50, 100)?);
    let project = Project::load(&app.table, &scope, query.project_id).await?;
    let bookmark: Option<Bookmark> = pages.after()?;
    let range = match &bookmark {
        Some(bookmark) => Range {
            from: bookmark.from,
            to: bookmark.to,
        },
        None => Range::of(query.from, query.to, app.now(), 1)?,
    };
    let wanted = Wanted {
        range,
        kind: query.r#type.clone(),
        name: query.name.clone(),
        user_id: query.user_id.clone(),
    };
    let position = bookmark.map(|bookmark| bookmark.position);
    let (data, next) = search::search(
        &app.table,
        &scope,
        project.id,
        (&wanted, app.now()),
        usize::from(limit),
        position,
    )
    .await?;
    let next = next.map(|position| Bookmark {
        position,
        from: range.from,
        to: range.to,
    });
    let next_cursor = pages.next(next.as_ref())?;
    Ok(Json(List { data, next_cursor }))
}

/// Where to look for an event.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct GetQuery {
    /// The project; without it the organization's newest 2,000 projects are looked through.
    project_id: Option<ProjectId>,
}

/// Answers with one event
#[utoipa::path(get, path = "/v1/events/{eventId}", tag = "Events",
    params(("eventId" = EventId, Path, description = "The event."), GetQuery),
    responses((status = 200, description = "The event.", body = EventView)))]
async fn get_event(
    State(app): State<App>,
    scope: Scope<policy::ReadEvents>,
    Path(id): Path<EventId>,
    Query(query): Query<GetQuery>,
) -> lambda::Result<Json<EventView>> {
    let projects = match query.project_id {
        Some(project) => vec![Project::load(&app.table, &scope, project).await?.id],
        None => projects_of(&app, &scope).await?,
    };
    Ok(Json(search::find(&app.table, &scope, &projects, id, app.now()).await?))
}

/// The organization's projects, newest first; past 2,000 of them the caller must name one.
async fn projects_of(app: &App, scope: &Scope<policy::ReadEvents>) -> kernel::Result<Vec<ProjectId>> {
    let (scope, mut projects, mut after) = (scope.narrow()?, Vec::new(), None);
    for _ in 0..20 {
        let page = Project::list(&app.table, &scope, Slice { limit: 100, after }).await?;
        projects.extend(page.records.into_iter().map(|project| project.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(projects)
}

//! /v1/admin/events: the events of all tenants, for who looks into a complaint. Each search is noted before it is answered, with the
//! organization whose events are searched where it is one.

use axum::extract::State;
use commit::Commit;
use gate::{Guarded, Routes, routes};
use identity::Project;
use kernel::policy::SearchAllEvents;
use kernel::{OrgId, ProjectId, Scope, Time};
use lambda::{App, Json, List, Pages, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;
use telemetry::EventView;
use telemetry::metrics::Range;
use telemetry::search::{Budget, Position, Wanted, search_anywhere};
use trail::{Chain, Change};

/// One page looks through so many projects at most.
const MOST_PROJECTS: u16 = 25;

pub(crate) fn routes() -> Routes<Guarded> {
    Routes::new().signed_in(routes![search_all_events])
}

/// Which events are searched for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SearchAllQuery {
    /// Only those of this organization.
    #[param(inline)]
    org_id: Option<OrgId>,
    /// Only those of this project.
    #[param(inline)]
    project_id: Option<ProjectId>,
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

/// An event, and whose it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct TenantEvent {
    /// The organization.
    org_id: OrgId,
    /// The project.
    project_id: ProjectId,
    #[serde(flatten)]
    event: EventView,
}

/// Where a search goes on: in this project, or after it where it was searched to its end; and until when.
#[derive(Serialize, Deserialize)]
struct Bookmark {
    project: ProjectId,
    position: Option<Position>,
    from: Time,
    to: Time,
}

/// Searches the events of all organizations
///
/// Project by project, the newest project first, and of each the newest event first. A page reads a bounded part of the events;
/// it may be short, even empty, and yet have a `nextCursor`. Each page is noted in the audit trail: of the organization if it is one and
/// has the projects that are searched, else of who searches.
#[utoipa::path(get, path = "/v1/admin/events", operation_id = "search_all_events", tag = "Platform",
    params(SearchAllQuery,
        ("limit" = Option<u16>, Query, description = "How many events at most: 1 to 100, 50 if absent.", minimum = 1, maximum = 100),
        ("cursor" = Option<String>, Query, description = "The `nextCursor` of the page before.")),
    responses((status = 200, body = List<TenantEvent>)))]
async fn search_all_events(
    State(app): State<App>,
    scope: Scope<SearchAllEvents>,
    pages: Pages<SearchAllQuery>,
) -> Result<Json<List<TenantEvent>>> {
    let (query, limit) = (&pages.filter, usize::from(pages.limit(50, 100)?));
    let bookmark: Option<Bookmark> = pages.after()?;
    let range = match &bookmark {
        Some(bookmark) => Range {
            from: bookmark.from,
            to: bookmark.to,
        },
        None => Range::of(query.from, query.to, app.now(), 1)?,
    };
    let place = bookmark.map(|bookmark| (bookmark.project, bookmark.position));
    let (projects, mut more) = projects(&app, &scope, query, place.as_ref()).await?;
    note(&app, &scope, query, range, &projects).await?;
    let wanted = Wanted {
        range,
        kind: query.r#type.clone(),
        name: query.name.clone(),
        user_id: query.user_id.clone(),
    };
    let (mut data, mut next, mut budget) = (Vec::new(), None, Budget::new());
    for (number, project) in projects.iter().enumerate() {
        let position = place.as_ref().filter(|(at, _)| *at == project.id);
        let position = position.and_then(|(_, position)| *position);
        let left = limit - data.len();
        let wanted = (&wanted, app.now());
        let found = search_anywhere(&app.table, &scope, project.id, wanted, left, position, &mut budget);
        let (events, rest) = found.await?;
        data.extend(events.into_iter().map(|event| TenantEvent {
            org_id: project.org,
            project_id: project.id,
            event,
        }));
        let is_last = number + 1 == projects.len();
        next = Some((project.id, rest));
        if rest.is_some() || data.len() == limit || budget.is_spent() {
            more |= rest.is_some() || !is_last;
            break;
        }
    }
    let next = next.filter(|_| more).map(|(project, position)| Bookmark {
        project,
        position,
        from: range.from,
        to: range.to,
    });
    let next_cursor = pages.next(next.as_ref())?;
    Ok(Json(List { data, next_cursor }))
}

/// The projects that a page looks through, and whether there are more.
async fn projects(
    app: &App,
    scope: &Scope<SearchAllEvents>,
    query: &SearchAllQuery,
    place: Option<&(ProjectId, Option<Position>)>,
) -> kernel::Result<(Vec<Project>, bool)> {
    if let Some(id) = query.project_id {
        let project = Project::load_anywhere(&app.table, scope, id).await?;
        let meant = query.org_id.is_none_or(|org| org == project.org);
        return Ok((if meant { vec![project] } else { Vec::new() }, false));
    }
    let last = match place {
        None => ProjectId::from_bits(u128::MAX),
        Some((project, Some(_))) => *project,
        Some((project, None)) => ProjectId::from_bits(project.bits().saturating_sub(1)),
    };
    let page = Project::everywhere(&app.table, scope, query.org_id, last, MOST_PROJECTS).await?;
    Ok((page.records, page.next.is_some()))
}

/// Notes who searches, and what for: not which user, who is somebody's customer.
async fn note(
    app: &App,
    scope: &Scope<SearchAllEvents>,
    query: &SearchAllQuery,
    range: Range,
    projects: &[Project],
) -> kernel::Result<()> {
    // Of one that has no such project nothing is read: nothing of this belongs into its trail, if there is such a one at all.
    let is_one = query.project_id.is_some() || query.org_id.is_some();
    let chain = match projects.first().filter(|_| is_one).map(|project| project.org) {
        Some(org) => Chain::Org(org),
        None => Chain::User(scope.user()?),
    };
    let target = match (query.project_id, query.org_id) {
        (Some(project), _) => project.to_string(),
        (None, Some(org)) => org.to_string(),
        (None, None) => "all".to_owned(),
    };
    let change = Change::by(scope.actor(), "events.searched", "events", target).to(json!({
        "from": range.from,
        "to": range.to,
        "type": query.r#type,
        "name": query.name,
        "byUser": query.user_id.is_some(),
    }));
    Ok(Commit::by(app, scope).note(chain, change).await?)
}

//! /v1/audit and /v1/orgs/{orgId}/audit: who changed what, newest first, and exports to verify. Nothing here writes.

mod export;

use axum::extract::State;
use gate::{Guarded, Routes, Serve, routes};
use kernel::policy::{ReadOrgAudit, ReadPlatformAudit};
use kernel::{Error, OrgId, Scope, UserId};
use lambda::{App, Function, Json, List, Pages, Paging, Result};
use serde::Deserialize;
use trail::{Chain, EntryView};

/// The function.
pub const FUNCTION: Function = gate::function::<Audit>("audit");

struct Audit;

impl Serve for Audit {
    type State = Guarded;

    fn routes() -> Routes<Guarded> {
        Routes::new()
            .signed_in(routes![list_platform])
            .members(routes![list_org])
            .and(export::routes())
    }
}

/// Whose chain.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Whose {
    /// The person.
    user_id: Option<UserId>,
    /// The organization, which may have been deleted.
    org_id: Option<OrgId>,
}

impl Whose {
    /// The chain that is named, if one is; 422 `two_chains` for two.
    fn chain(&self) -> kernel::Result<Option<Chain>> {
        match (self.user_id, self.org_id) {
            (Some(_), Some(_)) => {
                let problem = "must be absent where `userId` is given".to_owned();
                Err(Error::InvalidAs {
                    code: "two_chains",
                    field: "orgId",
                    problem,
                })
            }
            (Some(user), None) => Ok(Some(Chain::User(user))),
            (None, Some(org)) => Ok(Some(Chain::Org(org))),
            (None, None) => Ok(None),
        }
    }
}

/// Lists what happened on the platform, newest first: to people, and which organizations came and went
///
/// With `userId` or `orgId` it lists what happened to that person, or in that organization, also once it was deleted.
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_platform_audit", tag = "Audit", params(Whose, Paging),
    responses((status = 200, body = List<EntryView>)))]
async fn list_platform(
    State(app): State<App>,
    scope: Scope<ReadPlatformAudit>,
    pages: Pages<Whose>,
) -> Result<Json<List<EntryView>>> {
    let slice = pages.slice()?;
    let page = match pages.filter.chain()? {
        Some(chain) => trail::of_chain(&app.table, &scope, chain, slice).await?,
        None => trail::of_platform(&app.table, &scope, slice).await?,
    };
    Ok(Json(pages.list(page, |entry| entry)?))
}

/// Lists what happened in an organization, newest first
#[utoipa::path(get, path = "/v1/orgs/{orgId}/audit", operation_id = "list_org_audit", tag = "Audit",
    params(("orgId" = OrgId, Path, description = "The organization."), Paging),
    responses((status = 200, body = List<EntryView>)))]
async fn list_org(State(app): State<App>, scope: Scope<ReadOrgAudit>, pages: Pages) -> Result<Json<List<EntryView>>> {
    let page = trail::of_org(&app.table, &scope, pages.slice()?).await?;
    Ok(Json(pages.list(page, |entry| entry)?))
}

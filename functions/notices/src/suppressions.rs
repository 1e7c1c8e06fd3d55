//! /v1/email-suppressions: letting an address have mail again.

use axum::extract::State;
use billing::Client;
use commit::Reply;
use gate::{Routes, routes};
use identity::{Member, User};
use kernel::policy::{self, ManageMembers, ManageOwnAccount, ReadBilling, ReadMembers};
use kernel::{Error, Scope, mailbox};
use lambda::{App, Json, Path, Result};
use notifications::{Owner, Suppression};
use serde::Serialize;
use table::Slice;
use trail::Chain;

use crate::Notices;

/// Of clients whose address holds the one that is looked for, so many are read at once …
const PAGE: u16 = 100;
/// … so often: each time, 2,000 clients are looked at.
const PAGES: usize = 25;

/// Those of a person, or of who administers an organization.
pub(crate) fn routes() -> Routes<Notices> {
    Routes::new().persons_or_members(routes![reenable])
}

/// An address that mail is sent to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReenabledAddress)]
struct Reenabled {
    /// The address, as mail is sent to it.
    #[schema(example = "ada@example.com")]
    address: String,
}

/// Lets an address have mail again
///
/// One that mail came back from for good gets none, from nobody; one that complained, or from which mail came back on three days, none
/// that it can do without. That ends with this, whatever is still told of before. By the person whose address it is, once they have confirmed
/// it; or, with `x-org-id`, by an owner or admin of an organization that has a member or client with it: else 404. These end what mails of the
/// organization alone have brought, as a person who has not confirmed theirs does what mails about their account have: 409
/// `suppressed_by_others` if it was another's.
#[utoipa::path(post, path = "/v1/email-suppressions/{address}/reenable", operation_id = "reenable_email_address",
    tag = "Notifications", params(("address" = String, Path, description = "The address.")),
    responses((status = 200, body = Reenabled)))]
async fn reenable(
    State(app): State<App>,
    scope: Scope<ManageOwnAccount>,
    Path(address): Path<String>,
) -> Result<Json<Reenabled>> {
    let known = mailbox::known_by(&address).ok_or(Error::NotFound(NAME))?;
    let me = User::me(&app.table, &scope).await?;
    let whose = if is_known_by(&me.email, &known) {
        let unproved = me.email_verified_at.is_none();
        (Chain::User(me.id), unproved.then_some(Owner::User(me.id)))
    } else {
        let scope: Scope<ManageMembers> = scope.narrow()?;
        if !is_theirs(&app, &scope, &known).await? {
            return Err(Error::NotFound(NAME).into());
        }
        (Chain::Org(scope.org()), Some(Owner::Org(scope.org())))
    };
    let done = Reenabled { address: known };
    Suppression::lift(&app, &scope, whose, &done.address, &Reply::json(200, &done)?).await?;
    Ok(Json(done))
}

const NAME: &str = "address";

fn is_known_by(address: &str, known: &str) -> bool {
    mailbox::known_by(address).is_some_and(|one| one == known)
}

/// Whether a member or a client of the organization has an address.
async fn is_theirs(app: &App, scope: &Scope<ManageMembers>, known: &str) -> kernel::Result<bool> {
    let members: Scope<ReadMembers> = scope.narrow()?;
    let members = Member::in_roles(&app.table, &members, policy::EVERYONE).await?;
    if members.iter().any(|member| is_known_by(&member.email, known)) {
        return Ok(true);
    }
    let clients: Scope<ReadBilling> = scope.narrow()?;
    // Clients keep their addresses as they were given, and one of other letters is found by what stands before its `@`.
    let (local, _) = known.rsplit_once('@').ok_or(Error::NotFound(NAME))?;
    let mut after = None;
    for _ in 0..PAGES {
        let slice = Slice { limit: PAGE, after };
        let page = Client::search(&app.table, &clients, &format!("{local}@"), slice).await?;
        if page
            .records
            .iter()
            .any(|client| is_known_by(&client.profile.email, known))
        {
            return Ok(true);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(false)
}

//! `Idempotency-Key`, for whoever calls: whose the key is, and who they are there.

use anyhow::Context;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use idempotency::{Once, Who};
use kernel::Caller;
use lambda::App;

/// Honours `Idempotency-Key` on POST requests; stands inside authentication, whose caller it needs.
pub(crate) async fn remember(State(app): State<App>, request: Request, next: Next) -> Response {
    let who = who(request.extensions().get::<Caller>());
    let once = async || {
        let keys = app
            .keys
            .clone()
            .context("a function that does requests once needs keys")?;
        Ok(Once::new(app.table.clone(), keys))
    };
    idempotency::remember(once, || app.now(), &who, request, next).await
}

/// Whether a reply was given before, and nothing was done for it now.
pub(crate) fn is_replayed(response: &Response) -> bool {
    response.headers().contains_key(idempotency::REPLAYED)
}

/// A key belongs to the tenant, or the person, or else to strangers. A reply is not replayed to someone who lost the role
/// that it took; so the roles are part of who they are, by names that no change of the code changes.
fn who(caller: Option<&Caller>) -> Who {
    let (owner, actor) = match caller {
        Some(Caller::Member {
            user,
            org,
            role,
            grants,
            ..
        }) => {
            let mut granted: Vec<String> = grants
                .iter()
                .map(|grant| format!("{}:{}", grant.resource, grant.role.name()))
                .collect();
            granted.sort();
            let actor = format!("{user} {} {}", role.name(), granted.join(","));
            (format!("ORG#{org}"), actor)
        }
        Some(Caller::ApiKey { key, org, .. }) => (format!("ORG#{org}"), key.to_string()),
        Some(Caller::Person {
            user, platform_role, ..
        }) => (format!("USER#{user}"), format!("{user} {}", platform_role.name())),
        None => ("ANYONE".to_owned(), String::new()),
    };
    Who { owner, actor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{OrgId, OrgRole, PlatformRole, ProjectId, ResourceRole, SessionId, UserId};

    fn member(grants: &[(u128, OrgRole)]) -> Caller {
        let grant = |(project, role): &(u128, OrgRole)| ResourceRole {
            resource: ProjectId::from_bits(*project).into(),
            role: *role,
        };
        Caller::Member {
            user: UserId::from_bits(1),
            platform_role: PlatformRole::User,
            session: SessionId::from_bits(2),
            org: OrgId::from_bits(3),
            role: OrgRole::Viewer,
            grants: grants.iter().map(grant).collect(),
            anchors: Vec::new(),
        }
    }

    #[test]
    fn who_somebody_is_does_not_change_with_the_code() {
        let zeros = "0".repeat(25);
        let granted = who(Some(&member(&[(5, OrgRole::Admin), (4, OrgRole::Member)])));
        assert_eq!(granted.owner, format!("ORG#org_{zeros}3"));
        assert_eq!(
            granted.actor,
            format!("usr_{zeros}1 viewer prj_{zeros}4:member,prj_{zeros}5:admin")
        );
        assert_ne!(granted, who(Some(&member(&[]))));
        assert_eq!(who(None).owner, "ANYONE");
    }
}

//! Mails to members about what was told of their organization.

use app::App;
use kernel::policy::{ReadMembers, ReadOrg};
use kernel::{Error, OrgRole, Result, Scope};
use notifications::{Desk, Letter, Mail, Owner};
use outbox::Told;

use super::{Member, MemberView};
use crate::org::Org;

/// Mails the members of a fact's organization who have one of these roles, each of them once, however often it is told. Nobody
/// of an organization that was deleted meanwhile.
pub async fn tell(
    app: &App,
    desk: &Desk,
    fact: &Told,
    roles: &[OrgRole],
    letter: impl Fn(&Org, &MemberView) -> Letter,
) -> Result<()> {
    let org = match Org::load(&app.table, &Scope::<ReadOrg>::system(fact.org)).await {
        Ok(org) => org,
        Err(Error::NotFound(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let members = Scope::<ReadMembers>::system(fact.org);
    for member in Member::in_roles(&app.table, &members, roles).await? {
        let mail = Mail::to(&member.email, letter(&org, &member));
        let (owner, cause) = (Owner::Org(fact.org), fact.id.to_string());
        let job = desk.mail_once(app.now(), owner, &cause, fact.at, mail)?;
        job.later().clone().because_of(&fact.origin).store(app).await?;
    }
    Ok(())
}

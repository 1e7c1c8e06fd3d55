//! What an account made before its address was proved, once a reset of its password proves that: whoever registered need not
//! be who reads the address's mail, and may have prepared all of it for them.
//!
//! Nothing is deleted, for whoever registered may as well be the same person, and forgetful.
//!
//! # Known bounds
//!
//! - What is made in the same moments as the password is reset may stay.
//! - Alerts, webhooks and accounts at payment providers of an organization that stays are left for its owner to look at.

use app::App;
use commit::{Commit, again};
use kernel::policy::{LeaveOrg, ManageMembers, ReadMembers};
use kernel::{Error, OrgId, Origin, Result, Scope};
use serde_json::json;
use table::Write;
use trail::{Chain, Change};

use crate::member::{self, Member};
use crate::org::Org;
use crate::user::User;

/// Memberships and members are read in pages of this many.
const PAGE: u16 = 100;

/// Takes a person whose address was not proved out of every organization that has another owner: it is theirs. Those that
/// have none begin anew: their keys and invitations are void, and nobody else is a member. The platform's own stays as it is.
/// It may be done again.
pub(crate) async fn begin(app: &App, user: &User) -> Result<()> {
    let memberships = table::whole(PAGE, |slice| Member::of_user(&app.table, user.id, slice)).await?;
    for member in memberships.iter().filter(|member| member.org != OrgId::PLATFORM) {
        leave_or_keep(app, user, member.org).await?;
    }
    Ok(())
}

async fn leave_or_keep(app: &App, user: &User, org: OrgId) -> Result<()> {
    let leaves = Scope::<LeaveOrg>::system(org);
    match Member::take_out(app, &leaves, user.id).await {
        // It was deleted.
        Ok(()) | Err(Error::NotFound(_)) => Ok(()),
        Err(Error::Refused { code: "last_owner", .. }) => {
            void(app, user, org).await?;
            remove_others(app, user, org).await
        }
        Err(error) => Err(error),
    }
}

/// Voids what opens an organization to others, and notes it.
async fn void(app: &App, user: &User, id: OrgId) -> Result<()> {
    again(|| async {
        let mut org = Org::load(&app.table, &Scope::<ReadMembers>::system(id)).await?;
        org.begin_anew(app.now());
        let change = Change::by(user.id, "org.begun_anew", "org", id);
        Commit::of(app, &Origin::default())
            .write("org", Write::replace(&org)?)
            .note(Chain::Org(id), change.to(json!({"because": "email_proved_by_reset"})))
            .await
    })
    .await
}

async fn remove_others(app: &App, user: &User, org: OrgId) -> Result<()> {
    let (reads, removes) = (Scope::<ReadMembers>::system(org), Scope::<ManageMembers>::system(org));
    let members = table::whole(PAGE, |slice| Member::list(&app.table, &reads, slice)).await?;
    for other in members.iter().filter(|member| member.user_id != user.id) {
        match member::end(app, &removes, other.user_id, "member.removed", |_| Ok(())).await {
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

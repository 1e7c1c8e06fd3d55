//! The platform's own organization: made once, whoever comes first, and owned by the first manager.

use app::App;
use commit::{Commit, NotDone, again};
use kernel::policy::ReadOrg;
use kernel::{Error, OrgId, OrgRole, Origin, Result, Scope, UserId, Zone};
use table::Write;

use super::Org;
use crate::member::Member;

/// What it is called until somebody calls it otherwise.
const NAME: &str = "Countinghouse";

impl Org {
    /// Reads the platform's own organization, and makes it if it is not there: without an owner, until a manager logs in.
    pub async fn platform(app: &App) -> Result<Self> {
        again(|| async {
            match Self::load(&app.table, &Scope::<ReadOrg>::system(OrgId::PLATFORM)).await {
                Err(Error::NotFound(_)) => {}
                known => return Ok(known?),
            }
            let mut org = Self::new(app.now(), UserId::from_bits(0), NAME, Zone::utc());
            (org.id, org.owners) = (OrgId::PLATFORM, 0);
            let commit = Commit::of(app, &Origin::default());
            commit.write("org", Write::create(&org)?).await?;
            Ok(org)
        })
        .await
    }

    /// Makes the first manager an owner of it, unless they are a member already.
    pub(crate) async fn own_platform(app: &App, manager: UserId) -> Result<()> {
        again(|| async {
            let mut org = Self::platform(app).await?;
            match Member::load(&app.table, &Scope::<ReadOrg>::system(org.id), manager).await {
                Err(Error::NotFound(_)) => {}
                known => return Ok(known.map(|_| ())?),
            }
            org.count_owner(None, Some(OrgRole::Owner))?;
            let owner = Member::new(app.now(), org.id, manager, OrgRole::Owner);
            Commit::of(app, &Origin::default())
                .write("org", Write::replace(&org)?)
                .write("owner", Write::create(&owner)?)
                .await?;
            Ok::<_, NotDone>(())
        })
        .await
    }
}

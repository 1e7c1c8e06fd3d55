//! Mails to an address:   pk MAILTO#<SHA-256 of the address>   sk POSTAGE   (gone a day after the last)
//! Mails by a person:     pk USER#<user>                       sk POSTAGE   (gone a day after the last)

use aws_lc_rs::digest::{SHA256, digest};
use kernel::policy::ManageAlerts;
use kernel::{Error, OrgId, Result, Scope, Time, UserId};
use table::{Key, Record, Table, TableName, Write};

use super::{DAY, Postage, Whose};
use crate::member::{self, Member};
use crate::user::{Address, User};

impl Record for Postage {
    const KIND: &'static str = "postage";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(&self.whose)
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn expires_at(&self) -> Option<Time> {
        Some(self.mailed_at.last()?.plus_millis(DAY))
    }
}

fn key(whose: &Whose) -> Key {
    let owner = match whose {
        Whose::To(hash) => format!("MAILTO#{hash}"),
        Whose::By(user) => format!("USER#{user}"),
    };
    Key::of(owner, "POSTAGE")
}

impl Postage {
    /// What counts a mail that this person has sent to this address, in lower case, for both; 409 `too_many_mails`.
    pub(crate) async fn pay(table: &Table, now: Time, by: UserId, to: &str) -> Result<[Write; 2]> {
        let hash = hex::encode(digest(&SHA256, to.as_bytes()));
        Ok([
            Self::counted(table, now, Whose::To(hash)).await?,
            Self::counted(table, now, Whose::By(by)).await?,
        ])
    }

    async fn counted(table: &Table, now: Time, whose: Whose) -> Result<Write> {
        let found = table.get(&key(&whose)).await?;
        let mut postage = found.unwrap_or_else(|| Self {
            whose,
            mailed_at: Vec::new(),
            version: 0,
        });
        postage.count(now)?;
        Write::save(&postage)
    }
}

/// Wants a caller who has proved their own address (403 `email_unproved`) and a target who wants mails of the organization: a
/// member who has proved theirs (403 `target_unproved`).
pub async fn may_mail(table: &Table, scope: &Scope<ManageAlerts>, org: OrgId, target: &str) -> Result<()> {
    let (caller, target) = (
        User::find(table, scope.user()?).await?.ok_or(Error::Denied)?,
        target.to_lowercase(),
    );
    super::proved(&caller)?;
    // Who logs in by a provider alone is known by no address to others, but to themselves.
    if caller.email == target || is_proved_member(table, org, &target).await? {
        return Ok(());
    }
    Err(Error::Forbidden {
        code: "target_unproved",
        detail: "mails go to members who have confirmed their address: invite whoever reads this one, or name another",
    })
}

async fn is_proved_member(table: &Table, org: OrgId, email: &str) -> Result<bool> {
    let Some(address) = Address::find(table, email).await? else {
        return Ok(false);
    };
    let key = member::key(org, address.user);
    let (member, user) = tokio::try_join!(table.get::<Member>(&key), User::find(table, address.user))?;
    Ok(member.is_some() && user.is_some_and(|user| user.is_active() && user.email_verified_at.is_some()))
}

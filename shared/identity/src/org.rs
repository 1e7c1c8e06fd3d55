//! An organization: the tenant of everything. Pure.

pub mod billing;
mod platform;
mod store;

use kernel::{Address, Error, OrgId, OrgRole, Rate, Result, Time, UserId, Zone};
use serde::{Deserialize, Serialize};

pub use billing::{BillingPatch, BillingSettings};
pub(crate) use store::{COUNTED, MOST_PAGES, key};
pub use store::{NAME, OrgChange};

/// An organization.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What it is called.
    pub name: String,
    /// The zone of its days and months.
    #[serde(default)]
    pub time_zone: Zone,
    /// Who made it.
    pub created_by: UserId,
    /// When.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// When it was deleted.
    pub deleted_at: Option<Time>,
    /// Whether members without a factor get no further than to their own account.
    #[serde(default)]
    pub require_factor: bool,
    /// How many of its members are owners; never 0. Counted here, so that two owners who leave at once meet.
    owners: u32,
    /// When it was taken from whoever made it, whose address was somebody else's. Keys and invitations of before are void.
    #[serde(default)]
    begun_anew_at: Option<Time>,
    #[serde(default)]
    version: u64,
}

impl Org {
    /// A new organization, whose only owner is who makes it.
    pub(crate) fn new(now: Time, by: UserId, name: &str, time_zone: Zone) -> Self {
        Self {
            id: OrgId::new(now),
            name: name.to_owned(),
            time_zone,
            created_by: by,
            created_at: now,
            updated_at: now,
            deleted_at: None,
            require_factor: false,
            owners: 1,
            begun_anew_at: None,
            version: 0,
        }
    }

    /// Whether it was not deleted.
    pub fn is_live(&self) -> bool {
        self.deleted_at.is_none()
    }

    /// Whether one owner is all that it has.
    pub(crate) fn has_one_owner(&self) -> bool {
        self.owners <= 1
    }

    /// Voids the keys and invitations that were made until now.
    pub(crate) fn begin_anew(&mut self, now: Time) {
        (self.begun_anew_at, self.updated_at) = (Some(now), now);
    }

    /// When a key or an invitation of this time was made void, if it was.
    pub(crate) fn voided(&self, made_at: Time) -> Option<Time> {
        self.begun_anew_at.filter(|since| made_at <= *since)
    }

    /// Counts a member whose role was `old` and becomes `new` (none: not a member); says whether the count changes.
    /// 409 `last_owner` when no owner would be left.
    pub(crate) fn count_owner(&mut self, old: Option<OrgRole>, new: Option<OrgRole>) -> Result<bool> {
        let (was, is) = (old == Some(OrgRole::Owner), new == Some(OrgRole::Owner));
        match (was, is) {
            (false, true) => self.owners += 1,
            (true, false) if self.owners <= 1 => return Err(last_owner()),
            (true, false) => self.owners -= 1,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// What who has no factor is told where one is demanded.
pub fn factor_required() -> Error {
    Error::Forbidden {
        code: "factor_required",
        detail: "this takes an account with a factor; add one at /v1/auth/factors/totp",
    }
}

fn last_owner() -> Error {
    Error::refused(
        "last_owner",
        "an organization needs an owner; make somebody else owner first",
    )
}

/// An organization, as replies show it to one of its members.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrgView {
    /// Its id.
    pub id: OrgId,
    /// What it is called.
    #[schema(example = "Acme")]
    pub name: String,
    /// The zone of its days and months.
    pub time_zone: Zone,
    /// Where it is, as its invoices say.
    #[schema(required)]
    pub address: Option<Address>,
    /// In percent: what it taxes where neither an invoice nor a client says otherwise.
    #[schema(required)]
    pub tax_rate: Option<Rate>,
    /// Its tax number.
    #[schema(required)]
    pub tax_id: Option<String>,
    /// A picture on its invoices.
    #[schema(required)]
    pub logo: Option<String>,
    /// The colour of its invoices.
    #[schema(required, example = "#1f6feb")]
    pub color: Option<String>,
    /// So many days after the one that it is dated an invoice is due.
    #[schema(example = 14)]
    pub due_in_days: u16,
    /// So many hours after a period its usage is waited for.
    #[schema(example = 1)]
    pub usage_grace_hours: u16,
    /// So many days after the due one reminders are sent.
    #[schema(example = json!([3, 10, 20]))]
    pub reminder_days: Vec<u16>,
    /// So many days after the due one of a subscription's invoice that is not paid its contract is suspended; null for never.
    #[schema(required, example = 30)]
    pub suspend_after_days: Option<u16>,
    /// Whether members without a factor get no further than to their own account.
    pub require_factor: bool,
    /// Your role in it.
    pub role: OrgRole,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

impl OrgView {
    /// Shows an organization and its billing settings to a member with this role.
    pub fn of(org: Org, billing: BillingSettings, role: OrgRole) -> Self {
        Self {
            id: org.id,
            name: org.name,
            time_zone: org.time_zone,
            address: billing.address,
            tax_rate: billing.tax_rate,
            tax_id: billing.tax_id,
            logo: billing.logo,
            color: billing.color,
            due_in_days: billing.due_in_days,
            usage_grace_hours: billing.usage_grace_hours,
            reminder_days: billing.reminder_days,
            suspend_after_days: billing.suspend_after_days,
            require_factor: org.require_factor,
            role,
            created_at: org.created_at,
            updated_at: org.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OrgRole::{Admin, Owner};

    #[test]
    fn what_was_made_before_it_began_anew_is_void() {
        let now = Time::from_millis(1_000);
        let mut org = Org::new(now, UserId::new(now), "Acme", Zone::utc());
        assert_eq!(org.voided(now), None);
        org.begin_anew(now);
        assert_eq!(org.voided(now), Some(now));
        assert_eq!(org.voided(now.plus_millis(1)), None);
    }

    #[test]
    fn the_last_owner_stays() {
        let now = Time::from_millis(1);
        let mut org = Org::new(now, UserId::new(now), "Acme", Zone::utc());
        for new in [None, Some(Admin)] {
            let refused = org.count_owner(Some(Owner), new);
            assert!(matches!(refused, Err(Error::Refused { code: "last_owner", .. })));
        }
        assert!(!org.count_owner(Some(Owner), Some(Owner)).unwrap());
        assert!(!org.count_owner(None, Some(Admin)).unwrap());
        assert!(org.count_owner(Some(Admin), Some(Owner)).unwrap());
        assert!(org.count_owner(Some(Owner), None).unwrap());
        assert_eq!(org.owners, 1);
    }
}

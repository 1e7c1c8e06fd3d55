//! A coupon:               pk ORG#<org>#COUPON           sk <coupon>
//! One that was deleted:   pk ORG#<org>#DELETEDCOUPON    sk <coupon>
//! Its code:               pk ORG#<org>#COUPONCODE       sk <CODE>     (no two coupons share one, whatever its case)

use app::App;
use commit::{Commit, Reply, again};
use kernel::policy::{ManageBilling, ReadBilling};
use kernel::{CouponId, Currency, Error, OrgId, OrgWide, Result, Scope, Time};
use serde::{Deserialize, Serialize};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{CannotMake, Coupon, CouponView, Discount, NewCoupon};

/// What a coupon is called where it is absent, and what the write of one is called.
pub const NAME: &str = "coupon";

impl Record for Coupon {
    const KIND: &'static str = "coupon";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        if self.deleted_at.is_some() {
            Key::of(format!("ORG#{}#DELETEDCOUPON", self.org), self.id.to_string())
        } else {
            key(self.org, self.id)
        }
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn partition(org: OrgId) -> String {
    format!("ORG#{org}#COUPON")
}

fn key(org: OrgId, id: CouponId) -> Key {
    Key::of(partition(org), id.to_string())
}

/// Says whose a code is.
#[derive(Debug, Serialize, Deserialize)]
struct Code {
    org: OrgId,
    text: String,
    coupon: CouponId,
}

impl Record for Code {
    const KIND: &'static str = "couponCode";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        code_key(self.org, &self.text)
    }
}

fn code_key(org: OrgId, code: &str) -> Key {
    Key::of(format!("ORG#{org}#COUPONCODE"), code.to_ascii_uppercase())
}

impl Coupon {
    fn claim(&self) -> Code {
        Code {
            org: self.org,
            text: self.code.clone(),
            coupon: self.id,
        }
    }

    /// Makes a coupon and notes it. 409 `coupon_code_taken` if another one has its code.
    pub async fn create(app: &App, scope: &Scope<ManageBilling>, new: &NewCoupon) -> Result<CouponView> {
        let coupon = Self::new(app.now(), scope.org(), new)?;
        let view = CouponView::from(coupon.clone());
        let change = Change::by(scope.actor(), "coupon.created", NAME, coupon.id).to(json!(view));
        let done = Commit::by(app, scope)
            .write(NAME, Write::create(&coupon)?)
            .write("code", Write::create(&coupon.claim())?)
            .note(Chain::Org(coupon.org), change)
            .reply(Reply::created(&view)?);
        done.await
            .map_err(|failed| failed.if_failed("code", || CannotMake::CodeTaken.into()))?;
        Ok(view)
    }

    /// Reads a coupon of the organization; 404 if it has none with this id, or has deleted it.
    pub async fn load<P: OrgWide>(table: &Table, scope: &Scope<P>, id: CouponId) -> Result<Self> {
        table.get(&key(scope.org(), id)).await?.ok_or(Error::NotFound(NAME))
    }

    /// Reads one page of the organization's coupons, newest first.
    pub async fn list(table: &Table, scope: &Scope<ReadBilling>, slice: Slice) -> Result<Page<Self>> {
        let query = Query::slice(partition(scope.org()), slice).descending();
        table.query(query.consistent()).await
    }

    /// Deletes it and notes it: its code is free. What it was applied to keeps its discount.
    pub async fn remove(app: &App, scope: &Scope<ManageBilling>, id: CouponId) -> Result<()> {
        again(|| async {
            let coupon = Self::load(&app.table, scope, id).await?;
            let mut deleted = coupon.clone();
            deleted.delete(app.now());
            deleted.version = 0;
            let view = CouponView::from(coupon.clone());
            let change = Change::by(scope.actor(), "coupon.deleted", NAME, id).from(json!(view));
            Commit::by(app, scope)
                .write(NAME, Write::delete(&coupon))
                .write("code", Write::remove(&coupon.claim()))
                .write("deleted coupon", Write::create(&deleted)?)
                .note(Chain::Org(coupon.org), change)
                .await
        })
        .await
    }
}

/// Applies the coupon with this code to something in a currency: the discount, and the write, called [`NAME`], for the
/// commit that makes the discount something's. Where that write's condition does not hold, somebody else has applied it
/// since; so whoever tries again counts right.
///
/// 404 without such a coupon; 409 `coupon_expired`, `coupon_used_up` or `coupon_currency`.
pub async fn redeem<P: OrgWide>(
    table: &Table,
    now: Time,
    scope: &Scope<P>,
    code: &str,
    currency: Currency,
) -> Result<(Discount, Write)> {
    let claim: Option<Code> = table.get(&code_key(scope.org(), code)).await?;
    let claim = claim.ok_or(Error::NotFound(NAME))?;
    let mut coupon = Coupon::load(table, scope, claim.coupon).await?;
    let discount = coupon.redeem(now, currency)?;
    Ok((discount, Write::replace(&coupon)?))
}

/// Counts a coupon as applied once less, because what it was on came to nothing: the write, called [`NAME`], for the commit
/// that lets go of it. Nothing of one that was deleted, which is applied to nothing any more.
pub async fn give_back<P: OrgWide>(table: &Table, scope: &Scope<P>, id: CouponId) -> Result<Option<Write>> {
    match Coupon::load(table, scope, id).await {
        Ok(mut coupon) => {
            coupon.give_back();
            Write::replace(&coupon).map(Some)
        }
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

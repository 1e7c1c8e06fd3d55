//! A top-up:   pk ORG#<org>#WALLET   sk TOPUP#<payment>

use app::App;
use commit::{Commit, Reply};
use kernel::link::{Links, Token};
use kernel::policy::{ReadWallet, TopUpWallet};
use kernel::{Error, OrgId, PaymentId, Result, Scope};
use serde_json::json;
use table::{Key, Page, Query, Record, Slice, Table, TableName, Write};
use trail::{Chain, Change};

use super::{StartedTopup, Topup, TopupStatus};
use crate::{price, wallet};

const PREFIX: &str = "TOPUP#";

impl Record for Topup {
    const KIND: &'static str = "topup";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, self.id)
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key(org: OrgId, id: PaymentId) -> Key {
    Key::of(wallet::partition(org), format!("{PREFIX}{id}"))
}

/// Stores a top-up that somebody asks for, and notes it.
pub async fn create(app: &App, links: &Links, scope: &Scope<TopUpWallet>, credits: u64) -> Result<StartedTopup> {
    let prices = price::load(&app.table).await?;
    let topup = Topup::by_hand(app.now(), scope.org(), credits, &prices);
    let change = Change::by(scope.actor(), "wallet.topup_requested", "payment", topup.id);
    let started = StartedTopup::of(&topup, links);
    Commit::by(app, scope)
        .write("topup", Write::create(&topup)?)
        .note(Chain::Org(topup.org), change.to(json!({"credits": credits})))
        .reply(Reply::created(&started)?)
        .await?;
    Ok(started)
}

/// Reads a top-up of an organization, for who takes the money: that is another organization.
pub async fn load(table: &Table, org: OrgId, id: PaymentId) -> Result<Topup> {
    table.get(&key(org, id)).await?.ok_or(Error::NotFound("top-up"))
}

/// Reads the top-up that a link leads to, whoever has it. 404 if there is none, or the token is another one.
pub async fn by_token(table: &Table, token: &Token) -> Result<Topup> {
    let Token::Topup { org, topup, .. } = token else {
        return Err(Error::NotFound("top-up"));
    };
    let topup = load(table, *org, *topup).await?;
    match topup.token() {
        Some(right) if right == *token => Ok(topup),
        _ => Err(Error::NotFound("top-up")),
    }
}

/// Reads a top-up that is pending.
pub(crate) async fn open(table: &Table, org: OrgId, id: PaymentId) -> Result<Option<Topup>> {
    let found: Option<Topup> = table.get(&key(org, id)).await?;
    Ok(found.filter(|topup| topup.status == TopupStatus::Pending))
}

/// Says that its credits are in the wallet.
pub(crate) fn fulfil(mut topup: Topup) -> Result<Write> {
    topup.status = TopupStatus::Succeeded;
    Write::replace(&topup)
}

/// Reads one page of an organization's top-ups, newest first.
pub async fn list(table: &Table, scope: &Scope<ReadWallet>, slice: Slice) -> Result<Page<Topup>> {
    let query = Query::slice(wallet::partition(scope.org()), slice);
    table.query(query.prefix(PREFIX).descending().consistent()).await
}

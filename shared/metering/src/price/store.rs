//! The price list:   pk PRICES   sk PRICES

use app::App;
use commit::{Commit, again};
use kernel::policy::ManagePrices;
use kernel::{Result, Scope};
use serde_json::json;
use table::{Key, Record, Table, TableName, Write};
use trail::{Chain, Change};

use super::{PriceList, Prices};

impl Record for PriceList {
    const KIND: &'static str = "prices";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key()
    }

    fn version(&self) -> u64 {
        self.version
    }
}

fn key() -> Key {
    Key::of("PRICES", "PRICES")
}

/// Reads the price list.
pub async fn load(table: &Table) -> Result<PriceList> {
    Ok(table.get(&key()).await?.unwrap_or_default())
}

/// Replaces the price list, and notes it.
pub async fn set(app: &App, scope: &Scope<ManagePrices>, prices: &Prices) -> Result<PriceList> {
    again(|| async {
        let mut list = load(&app.table).await?;
        let before = Prices::from(&list);
        list.set(app.now(), prices);
        let change = Change::by(scope.actor(), "prices.changed", "prices", "prices");
        let change = change.from(json!(before)).to(json!(Prices::from(&list)));
        Commit::by(app, scope)
            .write("prices", Write::save(&list)?)
            .note(Chain::User(scope.user()?), change)
            .await?;
        Ok(list)
    })
    .await
}

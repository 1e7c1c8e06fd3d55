//! A client as replies show it.

use std::collections::BTreeMap;

use kernel::{Address, ClientId, Currency, Minor, Rate, Time, Zone};
use serde::Serialize;

use super::Client;
use crate::tax::TaxExempt;

/// A client as replies show it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientView {
    /// Its id.
    pub id: ClientId,
    /// Its name.
    #[schema(example = "Acme GmbH")]
    pub name: String,
    /// Where its invoices go.
    pub email: String,
    /// What it usually pays in.
    pub currency: Currency,
    /// In the form of E.164.
    #[schema(required)]
    pub phone: Option<String>,
    /// Where it is.
    #[schema(required)]
    pub address: Option<Address>,
    /// What its documents are written in.
    #[schema(required)]
    pub language: Option<String>,
    /// Where its days begin; null: where the organization's do.
    #[schema(required)]
    pub time_zone: Option<Zone>,
    /// In percent; null: as the organization says.
    #[schema(required)]
    pub tax_rate: Option<Rate>,
    /// Its tax number.
    #[schema(required)]
    pub tax_id: Option<String>,
    /// Whether it is taxed.
    pub tax_exempt: TaxExempt,
    /// What it is called in events.
    #[schema(required)]
    pub external_id: Option<String>,
    /// Credit in money that its next invoice uses, in its currency.
    #[schema(value_type = i64)]
    pub balance: Minor,
    /// Credit in money by currency.
    #[schema(value_type = BTreeMap<String, i64>)]
    pub balances: BTreeMap<Currency, Minor>,
    /// When it was made.
    pub created_at: Time,
    /// When a person last changed it.
    pub updated_at: Time,
}

impl From<Client> for ClientView {
    fn from(client: Client) -> Self {
        let balance = client.balance().minor;
        let profile = client.profile;
        Self {
            id: client.id,
            name: profile.name,
            email: profile.email,
            currency: profile.currency,
            phone: profile.phone,
            address: profile.address,
            language: profile.language,
            time_zone: profile.zone,
            tax_rate: profile.tax_rate,
            tax_id: profile.tax_id,
            tax_exempt: profile.tax_exempt,
            external_id: profile.external_id,
            balance,
            balances: client.balances,
            created_at: client.created_at,
            updated_at: client.updated_at,
        }
    }
}

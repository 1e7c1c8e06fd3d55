//! Who sold and who bought, as they were when a document was sent: what it says stays so, whatever either is called later.
//!
//! pk ORG#<org>#PARTIES   sk <invoice or credit note>

use std::fmt::Display;

use identity::Org;
use identity::org::BillingSettings;
use identity::org::billing::logo::Fingerprint;
use kernel::policy::ReadBilling;
use kernel::{Address, OrgId, Result, Scope};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName};

use crate::client::Client;

/// Who sold and who bought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parties {
    org: OrgId,
    document: String,
    /// Who sold.
    pub seller: Party,
    /// What the seller's documents were coloured in.
    pub color: Option<String>,
    /// The picture on them; nothing where it was sent before that was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logo: Option<LogoThen>,
    /// Who bought.
    pub buyer: Party,
    /// Where that is written to.
    pub email: String,
    /// In which language.
    pub language: Option<String>,
}

/// Which picture a seller's documents had. Kept as a fingerprint: a picture is larger than all the rest of an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogoThen {
    /// None.
    Nothing,
    /// This one.
    Picture(Fingerprint),
}

/// Somebody, as a document says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Party {
    /// The name.
    pub name: String,
    /// Where they are.
    pub address: Option<Address>,
    /// Their tax number.
    pub tax_id: Option<String>,
}

impl Record for Parties {
    const KIND: &'static str = "parties";
    const TABLE: TableName = TableName::Ledger;

    fn key(&self) -> Key {
        key(self.org, &self.document)
    }
}

fn key(org: OrgId, document: impl Display) -> Key {
    Key::of(format!("ORG#{org}#PARTIES"), document.to_string())
}

impl Parties {
    /// Those of a document that is sent now.
    pub(crate) fn of(document: impl Display, org: &Org, settings: &BillingSettings, client: &Client) -> Self {
        let profile = &client.profile;
        Self {
            org: org.id,
            document: document.to_string(),
            seller: Party {
                name: org.name.clone(),
                address: settings.address.clone(),
                tax_id: settings.tax_id.clone(),
            },
            color: settings.color.clone(),
            logo: Some(match &settings.logo {
                Some(url) => LogoThen::Picture(Fingerprint::of(url)),
                None => LogoThen::Nothing,
            }),
            buyer: Party {
                name: profile.name.clone(),
                address: profile.address.clone(),
                tax_id: profile.tax_id.clone(),
            },
            email: profile.email.clone(),
            language: profile.language.clone(),
        }
    }

    /// Reads those of a document; nothing for a draft, and for what was sent before they were kept.
    pub async fn find(table: &Table, scope: &Scope<ReadBilling>, document: impl Display) -> Result<Option<Self>> {
        table.get(&key(scope.org(), document)).await
    }
}

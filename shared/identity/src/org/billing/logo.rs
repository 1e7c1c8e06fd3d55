//! Logos that an organization had, for what was sent under them: by the fingerprint of each, kept when another one takes its place.
//!
//! pk ORG#<org>#LOGO   sk <sha256>

use aws_lc_rs::digest::{SHA256, digest};
use kernel::{OrgId, OrgWide, Result, Scope};
use serde::{Deserialize, Serialize};
use table::{Key, Record, Table, TableName};

use super::BillingSettings;

/// What a logo is known by: the SHA-256 of its URL, in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// That of a URL.
    pub fn of(url: &str) -> Self {
        Self(hex::encode(digest(&SHA256, url.as_bytes())))
    }
}

/// A logo that an organization had.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PastLogo {
    org: OrgId,
    fingerprint: Fingerprint,
    url: String,
}

impl Record for PastLogo {
    const KIND: &'static str = "pastLogo";
    const TABLE: TableName = TableName::Identity;

    fn key(&self) -> Key {
        key(self.org, &self.fingerprint)
    }
}

fn key(org: OrgId, Fingerprint(print): &Fingerprint) -> Key {
    Key::of(format!("ORG#{org}#LOGO"), print)
}

impl BillingSettings {
    /// The logo that takes no more place among these settings after a change of them.
    pub(crate) fn replaced_logo(&self, after: &Self) -> Option<PastLogo> {
        let url = self.logo.clone().filter(|_| self.logo != after.logo)?;
        Some(PastLogo {
            org: self.org,
            fingerprint: Fingerprint::of(&url),
            url,
        })
    }

    /// Reads the URL of the logo with this fingerprint, whether the scope's organization has it now or had it before.
    pub async fn logo_of<P: OrgWide>(
        self,
        table: &Table,
        scope: &Scope<P>,
        fingerprint: &Fingerprint,
    ) -> Result<Option<String>> {
        match self.logo {
            Some(url) if Fingerprint::of(&url) == *fingerprint => Ok(Some(url)),
            _ => {
                let past: Option<PastLogo> = table.get(&key(scope.org(), fingerprint)).await?;
                Ok(past.map(|past| past.url))
            }
        }
    }
}

//! Postal addresses: where an organization is, or a client of one.

use serde::{Deserialize, Serialize};

use crate::Check;

/// Where somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// Street and number.
    pub line1: String,
    /// What else it needs.
    pub line2: Option<String>,
    /// The postal code.
    pub postal_code: String,
    /// The city.
    pub city: String,
    /// Two letters of ISO 3166.
    #[schema(example = "DE")]
    pub country: String,
}

impl Address {
    /// Notes every rule that it breaks under `field`.
    pub fn check(&self, check: &mut Check, field: &str) {
        check.text(&format!("{field}.line1"), &self.line1, 1..=200);
        if let Some(line2) = &self.line2 {
            check.text(&format!("{field}.line2"), line2, 0..=200);
        }
        check.text(&format!("{field}.postalCode"), &self.postal_code, 1..=20);
        check.text(&format!("{field}.city"), &self.city, 1..=100);
        let is_code = self.country.len() == 2 && self.country.chars().all(|c| c.is_ascii_uppercase());
        check.that(
            is_code,
            &format!("{field}.country"),
            "must be two capitals, as in ISO 3166",
        );
    }
}

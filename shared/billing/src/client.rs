//! Clients: whom an organization sells to, where their days begin, how they are taxed, and the credit in money that their
//! next invoice uses. Pure but for its store.

mod entitlements;
mod store;
mod view;

use std::collections::BTreeMap;

use identity::org::BillingSettings;
use kernel::check::{given, given_object};
use kernel::{Address, Check, ClientId, Currency, Input, Minor, Money, OrgId, Time, Zone};
use serde::{Deserialize, Serialize};

use crate::coupon::currency;
use crate::number::{Given, Rate};
use crate::price::number;
use crate::subscription::Conditions;
use crate::tax::{TaxExempt, Taxation};

pub use entitlements::ClientEntitlements;
pub use store::NAME;
pub use view::ClientView;

kernel::refusals! {
    /// Why a client is not deleted.
    CannotDelete {
        /// Something of it is still sold.
        HasContract = "client_has_contract": "this client has a contract that has not ended";
        /// Something of it recurs.
        HasRecurring = "client_has_recurring_invoice": "this client has a recurring invoice that has not ended";
    }
    /// Why a client is not called so in events.
    CannotName {
        /// Another one is.
        Taken = "external_id_taken": "another client has this externalId";
    }
}

/// What a person says about a client; a PATCH says what it changes.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewClient {
    /// Its name.
    #[schema(example = "Acme GmbH")]
    pub name: String,
    /// Where its invoices go.
    pub email: String,
    /// What it usually pays in.
    #[schema(example = "EUR")]
    pub currency: String,
    /// In the form of E.164.
    #[schema(example = "+4930123456")]
    pub phone: Option<String>,
    /// Where it is.
    #[serde(default, deserialize_with = "kernel::check::object")]
    pub address: Option<Address>,
    /// What its documents are written in.
    #[schema(example = "de")]
    pub language: Option<String>,
    /// Where its days begin; the organization's if it is not given.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// In percent: at most four decimal places. The organization's if it is not given.
    pub tax_rate: Option<Given>,
    /// Its tax number.
    #[schema(example = "DE123456789")]
    pub tax_id: Option<String>,
    /// Whether it is taxed.
    #[serde(default)]
    pub tax_exempt: TaxExempt,
    /// What it is called in events.
    pub external_id: Option<String>,
}

/// What changes a client; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientPatch {
    /// Its name.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// Where its invoices go.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub email: Option<String>,
    /// What it usually pays in.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "EUR")]
    pub currency: Option<String>,
    /// In the form of E.164.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "+4930123456")]
    pub phone: Option<Option<String>>,
    /// Where it is.
    #[serde(default, deserialize_with = "given_object")]
    #[schema(value_type = Option<Address>)]
    pub address: Option<Option<Address>>,
    /// What its documents are written in.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "de")]
    pub language: Option<Option<String>>,
    /// Where its days begin. Subscriptions keep the zone that they began in.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, example = "Europe/Berlin")]
    pub time_zone: Option<Option<String>>,
    /// In percent: at most four decimal places.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Given>)]
    pub tax_rate: Option<Option<Given>>,
    /// Its tax number.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub tax_id: Option<Option<String>>,
    /// Whether it is taxed.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    pub tax_exempt: Option<TaxExempt>,
    /// What it is called in events.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
}

impl Input for ClientPatch {
    // It is checked with what it leaves as it is: `ClientPatch::on`.
    fn check(&self, _: &mut Check) {}
}

impl ClientPatch {
    /// The profile with its changes; `Invalid` with every rule that these break.
    pub fn on(self, old: Profile) -> kernel::Result<Profile> {
        let new = NewClient {
            name: self.name.unwrap_or(old.name),
            email: self.email.unwrap_or(old.email),
            currency: self.currency.unwrap_or_else(|| old.currency.to_string()),
            phone: self.phone.unwrap_or(old.phone),
            address: self.address.unwrap_or(old.address),
            language: self.language.unwrap_or(old.language),
            time_zone: self.time_zone.unwrap_or_else(|| old.zone.map(|zone| zone.to_string())),
            tax_rate: self.tax_rate.unwrap_or_else(|| old.tax_rate.map(Given::from)),
            tax_id: self.tax_id.unwrap_or(old.tax_id),
            tax_exempt: self.tax_exempt.unwrap_or(old.tax_exempt),
            external_id: self.external_id.unwrap_or(old.external_id),
        };
        new.profile()
    }
}

/// What a person may change about a client, read and within the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Where its invoices go.
    pub email: String,
    /// What it usually pays in.
    pub currency: Currency,
    /// In the form of E.164.
    pub phone: Option<String>,
    /// Where it is.
    pub address: Option<Address>,
    /// What its documents are written in.
    pub language: Option<String>,
    /// Where its days begin.
    pub zone: Option<Zone>,
    /// Its tax rate.
    pub tax_rate: Option<Rate>,
    /// Its tax number.
    pub tax_id: Option<String>,
    /// Whether it is taxed.
    pub tax_exempt: TaxExempt,
    /// What it is called in events.
    pub external_id: Option<String>,
}

impl Input for NewClient {
    fn check(&self, check: &mut Check) {
        self.read(check);
    }
}

impl NewClient {
    /// Reads it; `Invalid` with every rule that it breaks.
    pub fn profile(&self) -> kernel::Result<Profile> {
        let mut check = Check::default();
        let profile = self.read(&mut check);
        check.done()?;
        profile.ok_or_else(|| kernel::Error::invalid("body", "cannot be read"))
    }

    fn read(&self, check: &mut Check) -> Option<Profile> {
        check.name("name", &self.name, 1..=200);
        check.email("email", &self.email);
        let currency = currency(check, "currency", &self.currency);
        if let Some(phone) = &self.phone {
            check.that(
                is_phone(phone),
                "phone",
                "must be a number in the form of E.164, such as +4930123456",
            );
        }
        if let Some(address) = &self.address {
            address.check(check, "address");
        }
        if let Some(language) = &self.language {
            check.that(
                is_language(language),
                "language",
                "must be a language such as `de` or `pt-BR`",
            );
        }
        for (field, text) in [("taxId", &self.tax_id), ("externalId", &self.external_id)] {
            if let Some(text) = text {
                check.text(field, text, 1..=200);
            }
        }
        let zone = self.time_zone.as_deref().map(|zone| zone_of(check, "timeZone", zone));
        let rate = self.tax_rate.as_ref().map(|given| number(check, "taxRate", given));
        // What was given and cannot be read is not left out.
        let zone = zone.map_or(Some(None), |read| read.map(Some))?;
        let tax_rate = rate.map_or(Some(None), |read| read.map(Some))?;
        Some(Profile {
            name: self.name.clone(),
            email: self.email.clone(),
            currency: currency?,
            phone: self.phone.clone(),
            address: self.address.clone(),
            language: self.language.clone(),
            zone,
            tax_rate,
            tax_id: self.tax_id.clone(),
            tax_exempt: self.tax_exempt,
            external_id: self.external_id.clone(),
        })
    }
}

/// Reads a zone, and notes what is wrong with it.
pub(crate) fn zone_of(check: &mut Check, field: &str, name: &str) -> Option<Zone> {
    let read: Result<Zone, _> = name.parse();
    if let Err(problem) = &read {
        check.that(false, field, problem.to_string());
    }
    read.ok()
}

/// E.164: a plus, a country code that does not begin with zero, 15 digits at most.
fn is_phone(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit()) && !digits.starts_with('0')
}

/// Two or three letters, and what BCP 47 has behind them.
fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    let is_part = |part: &str| (2..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric());
    text.len() <= 35
        && (2..=3).contains(&first.len())
        && first.chars().all(|c| c.is_ascii_lowercase())
        && parts.all(is_part)
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// Whose it is.
    pub org: OrgId,
    /// What a person may change.
    pub profile: Profile,
    /// Credit that its next invoice uses, by currency.
    pub balances: BTreeMap<Currency, Minor>,
    /// When it was made.
    pub created_at: Time,
    /// When a person last changed it.
    pub updated_at: Time,
    /// When it was deleted. What was sold to it stays.
    pub deleted_at: Option<Time>,
    /// How many contracts with it have not ended. Counted here, so that a new contract and a deletion meet.
    #[serde(default)]
    pub open_contracts: u32,
    #[serde(default)]
    version: u64,
}

impl Client {
    /// Makes a client.
    pub fn new(now: Time, org: OrgId, profile: Profile) -> Self {
        Self {
            id: ClientId::new(now),
            org,
            profile,
            balances: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            open_contracts: 0,
            version: 0,
        }
    }

    /// Its credit in the currency that it usually pays in.
    pub fn balance(&self) -> Money {
        Money::new(self.balance_in(self.profile.currency), self.profile.currency)
    }

    /// Its credit in a currency.
    pub fn balance_in(&self, currency: Currency) -> Minor {
        self.balances.get(&currency).copied().unwrap_or_default()
    }

    /// Adds credit.
    pub fn credit(&mut self, money: Money) {
        *self.balances.entry(money.currency).or_default() += money.minor;
    }

    /// Takes credit, as much as there is; how much that was.
    pub fn spend(&mut self, wanted: Money) -> Minor {
        let balance = self.balances.entry(wanted.currency).or_default();
        let taken = wanted.minor.min(*balance).max(Minor::ZERO);
        *balance -= taken;
        taken
    }

    /// How a document for it is taxed that says this rate, or none.
    pub fn taxation(&self, document: Option<Rate>, org: &BillingSettings) -> Taxation {
        Taxation::of(self.profile.tax_exempt, [document, self.profile.tax_rate, org.tax_rate])
    }

    /// What holds for the invoices of its subscriptions.
    pub fn conditions(&self, org: &BillingSettings) -> Conditions {
        Conditions {
            taxation: self.taxation(None, org),
            due_in_days: org.due_in_days,
            usage_grace_hours: org.usage_grace_hours,
        }
    }

    /// Where its days begin: its own zone, else the organization's.
    pub fn zone<'a>(&'a self, org: &'a Zone) -> &'a Zone {
        self.profile.zone.as_ref().unwrap_or(org)
    }

    /// Changes it.
    pub fn change(&mut self, now: Time, profile: Profile) {
        self.profile = profile;
        self.updated_at = now;
    }

    /// Deletes it, once no contract of it goes on.
    pub fn delete(&mut self, now: Time) -> Result<(), CannotDelete> {
        if self.open_contracts > 0 {
            return Err(CannotDelete::HasContract);
        }
        self.deleted_at.get_or_insert(now);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kernel::Error;

    use super::*;

    const NOW: Time = Time::from_millis(1_799_000_000_000);

    pub(crate) fn client(rest: &str) -> kernel::Result<Client> {
        let json = format!(r#"{{"name":"Acme","email":"a@b.co","currency":"EUR"{rest}}}"#);
        let new: NewClient = serde_json::from_str(&json).unwrap();
        new.profile()
            .map(|profile| Client::new(NOW, OrgId::from_bits(1), profile))
    }

    #[test]
    fn every_broken_rule_has_its_field() {
        for (rest, field) in [
            (r#","phone":"030 123""#, "phone"),
            (r#","phone":"+0301234567""#, "phone"),
            (r#","language":"German""#, "language"),
            (r#","timeZone":"Berlin""#, "timeZone"),
            (r#","taxRate":"7.00001""#, "taxRate"),
            (r#","externalId":"""#, "externalId"),
            (
                r#","address":{"line1":"a","postalCode":"1","city":"b","country":"Germany"}"#,
                "address.country",
            ),
        ] {
            let Err(Error::Invalid(problems)) = client(rest) else {
                panic!("{rest} is taken")
            };
            assert_eq!(problems[0].field, field, "{rest}");
            assert_eq!(problems.len(), 1);
        }
        let all = r#","phone":"+4930123456","language":"pt-BR","timeZone":"Europe/Berlin","taxRate":19,"taxId":"DE1",
            "taxExempt":"reverse_charge","externalId":"u1",
            "address":{"line1":"a","line2":"b","postalCode":"1","city":"b","country":"DE"}"#;
        let acme = client(all).unwrap();
        let stored = serde_json::to_value(&acme).unwrap();
        assert_eq!(serde_json::from_value::<Client>(stored).unwrap(), acme);
    }

    #[test]
    fn the_balance_is_spent_and_never_falls_below_zero() {
        let mut acme = client("").unwrap();
        let eur = |minor| Money::new(Minor::new(minor), "EUR".parse().unwrap());
        acme.credit(eur(500));
        acme.credit(Money::new(Minor::new(7), "JPY".parse().unwrap()));
        assert_eq!(acme.spend(eur(300)).get(), 300);
        assert_eq!(acme.spend(eur(300)).get(), 200);
        assert_eq!(acme.spend(eur(-5)).get(), 0);
        assert_eq!(acme.balance(), eur(0));
        let stored = serde_json::to_value(&acme).unwrap();
        assert_eq!(stored["balances"], serde_json::json!({"EUR": 0, "JPY": 7}));
        assert_eq!(serde_json::from_value::<Client>(stored).unwrap(), acme);
    }

    #[test]
    fn a_client_with_a_contract_is_not_deleted() {
        let mut acme = client("").unwrap();
        acme.open_contracts = 1;
        assert_eq!(acme.delete(NOW), Err(CannotDelete::HasContract));
        acme.open_contracts = 0;
        acme.delete(NOW).unwrap();
        assert_eq!(acme.deleted_at, Some(NOW));
    }

    #[test]
    fn a_patch_is_checked_with_what_it_leaves() {
        let all = r#","phone":"+4930123456","timeZone":"Europe/Berlin","taxRate":19,"externalId":"u1""#;
        let old = client(all).unwrap().profile;
        let on = |json: &str| serde_json::from_str::<ClientPatch>(json).unwrap().on(old.clone());
        assert_eq!(on("{}").unwrap(), old);
        let changed = on(r#"{"phone":null,"taxRate":"7.7","timeZone":null,"name":"B"}"#).unwrap();
        assert_eq!((changed.phone, changed.zone), (None, None));
        assert_eq!((changed.name.as_str(), changed.email.as_str()), ("B", "a@b.co"));
        assert_eq!(changed.tax_rate.unwrap().to_string(), "7.7");
        let Err(Error::Invalid(problems)) = on(r#"{"email":"no","currency":"XXX"}"#) else {
            panic!("it is taken")
        };
        assert_eq!(
            (problems[0].field.as_str(), problems[1].field.as_str()),
            ("email", "currency")
        );
        assert!(serde_json::from_str::<ClientPatch>(r#"{"name":null}"#).is_err());
    }

    #[test]
    fn the_clients_zone_wins() {
        let org: Zone = "Asia/Tokyo".parse().unwrap();
        assert_eq!(client("").unwrap().zone(&org).name(), "Asia/Tokyo");
        let berlin = client(r#","timeZone":"Europe/Berlin""#).unwrap();
        assert_eq!(berlin.zone(&org).name(), "Europe/Berlin");
    }
}

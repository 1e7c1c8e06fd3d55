//! Ids: a prefix that says what is named, and a UUIDv7 in Crockford base32, lower case, 26 characters.
//! They sort by creation. Each kind is a type of its own, so that one cannot be taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Time;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 26 characters of 5 bits hold 130 bits; the first carries only the top 3 of the 128.
const LENGTH: usize = 26;

/// Says that a text is no id of the kind that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `{prefix}` followed by 26 characters of Crockford base32 in lower case")]
pub struct NotAnId {
    prefix: &'static str,
}

fn encode(value: u128) -> String {
    (0..LENGTH)
        .map(|position| {
            let shift = 5 * (LENGTH - 1 - position);
            char::from(ALPHABET[((value >> shift) & 31) as usize])
        })
        .collect()
}

fn decode(text: &str) -> Option<u128> {
    if text.len() != LENGTH || text.as_bytes()[0] > b'7' {
        return None;
    }
    text.bytes().try_fold(0_u128, |value, byte| {
        let digit = ALPHABET.iter().position(|&letter| letter == byte)?;
        Some((value << 5) | digit as u128)
    })
}

/// Makes the 128 bits of a UUIDv7 at `now`, random after its first 48 bits.
fn uuid_v7(now: Time) -> u128 {
    let random: [u8; 10] = random();
    let millis = u64::try_from(now.millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random)
        .into_uuid()
        .as_u128()
}

/// Fills an array from the operating system's secure generator.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id at `now`.
            pub fn new(now: Time) -> Self {
                Self(uuid_v7(now))
            }

            /// Makes the id that has these 128 bits.
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// The 128 bits of the UUID.
            pub const fn bits(self) -> u128 {
                self.0
            }

            /// The moment the id was made at.
            pub fn time(self) -> Time {
                // The top 48 bits, which always fit an i64.
                Time::from_millis(i64::try_from(self.0 >> 80).unwrap_or(i64::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix).and_then(decode).map(Self).ok_or(NotAnId { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "[0-7][0-9a-hjkmnp-tv-z]{25}$")))
                    .build()
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
    )*};
}

ids! {
    /// Names an organization, the tenant of everything.
    OrgId "org_";
    /// Names a person.
    UserId "usr_";
    /// Names a person's session: a family of refresh tokens.
    SessionId "ses_";
    /// Names a project.
    ProjectId "prj_";
    /// Names an API key; it is not the key.
    ApiKeyId "key_";
    /// Names an event; its time is when the event occurred.
    EventId "evt_";
    /// Names a grant: a member's role in one project.
    GrantId "grt_";
    /// Names an invitation to an organization; `inv_` is for invoices.
    InvitationId "ivt_";
    /// Names a factor: what a person proves with, besides a password, that it is them.
    FactorId "fac_";
    /// Names an audit entry.
    AuditId "aud_";
    /// Names an alert: a rule over a project's metrics.
    AlertId "alr_";
    /// Names an incident: a time in which an alert fired.
    IncidentId "inc_";
    /// Names a message: a fact that is told to others, and what they know a repeat by.
    MessageId "msg_";
    /// Names an endpoint that subscribes to events.
    WebhookId "whk_";
    /// Names a notification: what one person is told of one thing that happened.
    NotificationId "ntf_";
    /// Names a subscription of a browser to web push.
    PushSubscriptionId "psh_";
    /// Names a job: work that outlives the request that caused it.
    JobId "job_";
    /// Names a credit grant: credits with a priority and an end.
    CreditGrantId "cgr_";
    /// Names a block of a wallet's credits that one process holds for a while.
    LeaseId "lea_";
    /// Names an entry of a wallet's ledger.
    LedgerEntryId "len_";
    /// Names a payment.
    PaymentId "pay_";
    /// Names a refund of a payment.
    RefundId "ref_";
    /// Names a client: whom an organization sells to.
    ClientId "cli_";
    /// Names a plan: what is sold, at which prices.
    PlanId "pln_";
    /// Names a coupon.
    CouponId "cpn_";
    /// Names a contract with a client.
    ContractId "con_";
    /// Names a subscription: a plan that a contract's client has.
    SubscriptionId "sub_";
    /// Names an invoice; it is not its number.
    InvoiceId "inv_";
    /// Names a credit note; it is not its number.
    CreditNoteId "crn_";
    /// Names a recurring invoice: a template that invoices are made of.
    RecurringInvoiceId "rec_";
}

impl OrgId {
    /// The platform's own organization, whose clients are the others.
    pub const PLATFORM: Self = Self::from_bits(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_sort_by_creation_and_tell_their_time() {
        let early = OrgId::new(Time::from_millis(1_000));
        let late = OrgId::new(Time::from_millis(2_000));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.time(), Time::from_millis(2_000));
        assert_eq!(late.to_string().len(), 4 + 26);
    }

    #[test]
    fn what_is_no_id_of_the_kind_is_refused() {
        let user = UserId::new(Time::from_millis(1));
        for text in [
            "",
            "org_",
            "org_zzz",
            &user.to_string(),
            "org_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "org_0ILOU",
        ] {
            assert!(text.parse::<OrgId>().is_err(), "{text}");
        }
        assert!(format!("org_{}", "é".repeat(13)).parse::<OrgId>().is_err());
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(bits: u128) {
            let id = ProjectId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse::<ProjectId>(), Ok(id));
        }

        #[test]
        fn a_text_that_is_read_is_the_only_one_for_its_id(text in ".{0,64}|(prj_|org_)?[0-9a-zA-Z]{24,28}|prj_[0-7][0-9a-hjkmnp-tv-zé]{25}") {
            if let Ok(id) = text.parse::<ProjectId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}

//! Links that need no login: whoever has one sees what it leads to, and may pay it. Pure.
//!
//! A link ends in a [`Token`], which says what it leads to and proves it by a [`Secret`] that is stored with that. So a link
//! lives as long as what it leads to, none can be guessed, and reading the right thing takes one read.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{InvoiceId, OrgId, PaymentId};

/// The first byte of a token that leads to an invoice: never changed. Other kinds are told by other bytes.
const INVOICE: u8 = 1;
/// That of one that leads to credits that are to be bought.
const TOPUP: u8 = 2;
/// Bytes of a secret: 128 bits are guessed by nobody.
const SECRET_LEN: usize = 16;
/// Bytes of a token: its kind, the organization, what is its, the secret.
const TOKEN_LEN: usize = 1 + 16 + 16 + SECRET_LEN;
/// Characters of a token.
const TEXT_LEN: usize = (TOKEN_LEN * 4).div_ceil(3);

/// What proves a link. It is stored with what the link leads to, and never printed.
#[derive(Clone, Copy, Eq)]
pub struct Secret([u8; SECRET_LEN]);

impl Secret {
    /// Makes one.
    pub fn new() -> Self {
        Self(crate::id::random())
    }
}

impl Default for Secret {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Secret {
    /// In a time that says nothing of how much is right.
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(de::Error::custom)?;
        let bytes = bytes.try_into();
        bytes
            .map(Self)
            .map_err(|_| de::Error::custom("a secret has another length"))
    }
}

/// What the end of a link says: what it leads to, and why it may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// To an invoice.
    Invoice {
        /// Whose it is.
        org: OrgId,
        /// Which.
        invoice: InvoiceId,
        /// The one that is stored with it, if the link is good.
        secret: Secret,
    },
    /// To a top-up of a wallet.
    Topup {
        /// Whose.
        org: OrgId,
        /// Which.
        topup: PaymentId,
        /// The one that is stored with it, if the link is good.
        secret: Secret,
    },
}

impl Token {
    /// Reads one; nothing if that is none.
    pub fn parse(text: &str) -> Option<Self> {
        // Decoding is bounded by this, whatever was sent.
        if text.len() != TEXT_LEN {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (kind, rest) = bytes.split_first()?;
        let (org, rest) = rest.split_first_chunk::<16>()?;
        let (id, secret) = rest.split_first_chunk::<16>()?;
        let secret = Secret(secret.try_into().ok()?);
        let org = OrgId::from_bits(u128::from_be_bytes(*org));
        let id = u128::from_be_bytes(*id);
        match *kind {
            INVOICE => Some(Self::Invoice {
                org,
                invoice: InvoiceId::from_bits(id),
                secret,
            }),
            TOPUP => Some(Self::Topup {
                org,
                topup: PaymentId::from_bits(id),
                secret,
            }),
            _ => None,
        }
    }

    /// Its text, for a link and never for a log.
    pub fn reveal(&self) -> String {
        let (kind, org, id, secret) = match self {
            Self::Invoice { org, invoice, secret } => (INVOICE, org, invoice.bits(), secret),
            Self::Topup { org, topup, secret } => (TOPUP, org, topup.bits(), secret),
        };
        let parts: [&[u8]; 4] = [&[kind], &org.bits().to_be_bytes(), &id.to_be_bytes(), &secret.0];
        URL_SAFE_NO_PAD.encode(parts.concat())
    }
}

/// Makes links: knows where browsers reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links(String);

impl Links {
    /// Links to there, such as `https://api.example.com`.
    pub fn to(base: &str) -> Self {
        Self(base.trim_end_matches('/').to_owned())
    }

    /// The page of what a token leads to: `https://api.example.com/pay/<token>`.
    pub fn page(&self, token: &Token) -> String {
        format!("{}/pay/{}", self.0, token.reveal())
    }

    /// A path of ours, such as `/v1/…`, as others are to call it.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(org: u128, invoice: u128) -> Token {
        Token::Invoice {
            org: OrgId::from_bits(org),
            invoice: InvoiceId::from_bits(invoice),
            secret: Secret::new(),
        }
    }

    #[test]
    fn a_secret_is_stored_and_not_printed() {
        let secret = Secret::new();
        let stored = serde_json::to_value(secret).unwrap();
        assert_eq!(serde_json::from_value::<Secret>(stored).unwrap(), secret);
        assert_ne!(Secret::new(), secret);
        assert!(format!("{:?}", token(1, 2)).ends_with("secret: Secret }"));
        for bad in ["\"\"", "\"AA\"", "\"=\"", "7"] {
            assert!(serde_json::from_str::<Secret>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_ends_in_the_token() {
        let token = token(1, 2);
        let page = Links::to("https://api.example.com/").page(&token);
        let (base, text) = page.split_once("/pay/").unwrap();
        assert_eq!((base, Token::parse(text)), ("https://api.example.com", Some(token)));
    }

    #[test]
    fn another_kind_is_no_token() {
        let mut bytes = URL_SAFE_NO_PAD.decode(token(1, 2).reveal()).unwrap();
        bytes[0] = 0;
        assert_eq!(Token::parse(&URL_SAFE_NO_PAD.encode(bytes)), None);
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(org: u128, invoice: u128) {
            let token = token(org, invoice);
            prop_assert_eq!(Token::parse(&token.reveal()), Some(token));
        }

        #[test]
        fn no_other_text_is_a_token(text in "[a-zA-Z0-9_=-]{60,70}|\\PC{66}") {
            if let Some(token) = Token::parse(&text) {
                prop_assert_eq!(token.reveal(), text);
            }
        }
    }
}

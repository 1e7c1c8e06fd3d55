//! A ticket: a text that names something by its ids and holds a secret of 256 bits, sent by mail. Of the secret only its
//! SHA-256 is stored. Pure.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::Error;

/// Ids of what it is about, and a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket<const IDS: usize> {
    pub(crate) ids: [u128; IDS],
    secret: [u8; 32],
}

impl<const IDS: usize> Ticket<IDS> {
    pub(crate) fn new(ids: [u128; IDS]) -> Self {
        let secret = kernel::id::random();
        Self { ids, secret }
    }

    /// Reads a ticket with this prefix; nothing if it was not made here.
    pub(crate) fn parse(prefix: &str, text: &str) -> Option<Self> {
        let text = text.strip_prefix(prefix)?;
        let length = IDS * 16 + 32;
        // Decoding is bounded by this, whatever was sent.
        if text.len() != (length * 4).div_ceil(3) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (secret, mut ids) = (bytes.get(IDS * 16..)?, [0; IDS]);
        for (id, bytes) in ids.iter_mut().zip(bytes.chunks_exact(16)) {
            *id = u128::from_be_bytes(bytes.try_into().ok()?);
        }
        let secret = secret.try_into().ok()?;
        Some(Self { ids, secret })
    }

    /// Its text, for the mail and never for a log.
    pub(crate) fn reveal(&self, prefix: &str) -> String {
        let mut bytes: Vec<u8> = self.ids.iter().flat_map(|id| id.to_be_bytes()).collect();
        bytes.extend_from_slice(&self.secret);
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> String {
        hex::encode(digest(&SHA256, &self.secret))
    }

    /// Whether this is what was stored of it.
    pub(crate) fn is(&self, hash: &str) -> bool {
        verify_slices_are_equal(self.hash().as_bytes(), hash.as_bytes()).is_ok()
    }
}

impl<const IDS: usize> std::fmt::Debug for Ticket<IDS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// The one answer to a token from a mail that is malformed, unknown, used, replaced, expired or for something else.
pub(crate) fn bad_token() -> Error {
    Error::malformed(
        "bad_token",
        "this token is unknown, used or expired; ask for another mail",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ticket_is_not_stored_and_not_printed() {
        let ticket = Ticket::new([1, 2]);
        assert!(ticket.is(&ticket.hash()) && !Ticket::new([1, 2]).is(&ticket.hash()));
        assert!(!ticket.hash().contains(&hex::encode(ticket.secret)));
        assert_eq!(format!("{ticket:?}"), "Ticket { .. }");
    }

    proptest! {
        #[test]
        fn text_and_back_is_the_same(ids: [u128; 2], secret: [u8; 32]) {
            let ticket = Ticket { ids, secret };
            prop_assert_eq!(Ticket::parse("xy_", &ticket.reveal("xy_")), Some(ticket.clone()));
            prop_assert_eq!(Ticket::<2>::parse("other_", &ticket.reveal("xy_")), None);
            prop_assert_eq!(Ticket::<1>::parse("xy_", &ticket.reveal("xy_")), None);
        }

        #[test]
        fn no_other_text_is_a_ticket(text in "(xy_)?[a-zA-Z0-9_=.-]{0,120}") {
            if let Some(ticket) = Ticket::<1>::parse("xy_", &text) {
                prop_assert_eq!(ticket.reveal("xy_"), text);
            }
        }
    }
}

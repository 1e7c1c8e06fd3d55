//! Cursors of lists: opaque, signed, and bound to the tenant and the filter they were made for.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Half of HMAC-SHA-256: forging one takes 2^128 tries.
const TAG: usize = 16;
/// A cursor holds two keys at most; anything longer was not made here.
const LONGEST: usize = 2_048;

/// Seals and opens cursors with one secret.
#[derive(Clone, Debug)]
pub struct Cursors {
    key: hmac::Key,
}

impl Cursors {
    /// Takes the secret that all functions of a deployment share.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    fn tag(&self, context: &str, payload: &[u8]) -> hmac::Tag {
        let mut signing = hmac::Context::with_key(&self.key);
        // The length first, so that no context can run over into the payload.
        signing.update(&(context.len() as u64).to_be_bytes());
        signing.update(context.as_bytes());
        signing.update(payload);
        signing.sign()
    }

    /// Makes a cursor for `position`, good for the same `context` (tenant, route, filter) only.
    pub fn seal(&self, context: &str, position: &impl Serialize) -> Result<String> {
        let mut bytes = serde_json::to_vec(position).map_err(anyhow::Error::new)?;
        let tag = self.tag(context, &bytes);
        bytes.extend_from_slice(&tag.as_ref()[..TAG]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Opens a cursor that was sealed for `context`; any other is `Malformed` with code `bad_cursor`.
    pub fn open<T: DeserializeOwned>(&self, context: &str, cursor: &str) -> Result<T> {
        self.try_open(context, cursor).ok_or_else(|| {
            Error::malformed_field(
                "bad_cursor",
                "cursor",
                "is not a cursor of this list; start again without one",
            )
        })
    }

    fn try_open<T: DeserializeOwned>(&self, context: &str, cursor: &str) -> Option<T> {
        if cursor.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (payload, tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
        let expected = self.tag(context, payload);
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG], tag).ok()?;
        serde_json::from_slice(payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cursor_opens_only_where_it_was_made() {
        let cursors = Cursors::new(b"secret");
        let cursor = cursors.seal("org_1 /v1/projects", &7_u32).unwrap();
        assert_eq!(cursors.open::<u32>("org_1 /v1/projects", &cursor).unwrap(), 7);
        assert!(cursors.open::<u32>("org_2 /v1/projects", &cursor).is_err());
        assert!(
            Cursors::new(b"other")
                .open::<u32>("org_1 /v1/projects", &cursor)
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_opens(text in "\\PC{0,100}") {
            prop_assert!(Cursors::new(b"secret").open::<serde_json::Value>("here", &text).is_err());
        }

        #[test]
        fn a_changed_cursor_does_not_open(place in 0_usize..20, flip in 1_u8..) {
            let cursors = Cursors::new(b"secret");
            let mut bytes = URL_SAFE_NO_PAD.decode(cursors.seal("here", &"position").unwrap()).unwrap();
            let place = place % bytes.len();
            bytes[place] ^= flip;
            prop_assert!(cursors.open::<String>("here", &URL_SAFE_NO_PAD.encode(bytes)).is_err());
        }
    }
}

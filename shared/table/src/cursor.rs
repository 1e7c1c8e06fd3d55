//! Cursors of lists: opaque, and bound to the tenant and the filter they were made for.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::seal::Seal;
use kernel::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A cursor holds two keys at most; anything longer was not made here.
const LONGEST: usize = 2_048;

/// Seals and opens cursors with one secret.
#[derive(Clone, Debug)]
pub struct Cursors(Arc<Seal>);

impl Cursors {
    /// Takes the secret that all functions of a deployment share.
    pub fn new(secret: &[u8]) -> Self {
        Self(Arc::new(Seal::new(secret)))
    }

    /// Makes a cursor for `position`, good for the same `context` (tenant, route, filter) only.
    pub fn seal(&self, context: &str, position: &impl Serialize) -> Result<String> {
        let position = serde_json::to_vec(position).map_err(anyhow::Error::new)?;
        Ok(URL_SAFE_NO_PAD.encode(self.0.seal(context, &position)))
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
        let sealed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        serde_json::from_slice(&self.0.open(context, &sealed)?).ok()
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
        fn a_changed_cursor_does_not_open(position in "\\PC{0,40}", place: prop::sample::Index, letter in "[a-zA-Z0-9_=-]", cut: bool) {
            let cursors = Cursors::new(b"secret");
            let cursor = cursors.seal("here", &position).unwrap();
            prop_assert_eq!(cursors.open::<String>("here", &cursor).unwrap(), position);
            let place = place.index(cursor.len());
            let mut changed = cursor.clone();
            if cut { changed.truncate(place) } else { changed.replace_range(place..=place, &letter) }
            prop_assume!(changed != cursor);
            let refused = cursors.open::<String>("here", &changed);
            let is_named = matches!(refused, Err(Error::Malformed { code: "bad_cursor", .. }));
            prop_assert!(is_named);
        }
    }
}

//! Cursors of lists: opaque to clients, and bound to the tenant and the filter they were made for. Signed, not hidden: a
//! position is made of what its reader may see.

use std::sync::Arc;

use anyhow::anyhow;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::seal::{Keyring, Purpose};
use kernel::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A cursor holds two keys at most; anything longer was not made here.
const LONGEST: usize = 2_048;
const CURSORS: Purpose = Purpose::named("cursors");

/// Signs and opens cursors: with the newest key, and with every one. A function that was not given keys has no lists.
#[derive(Clone, Debug)]
pub struct Cursors(Option<Arc<Keyring>>);

impl Cursors {
    /// Takes the keys that all functions of a deployment share.
    pub fn new(keys: Option<Arc<Keyring>>) -> Self {
        Self(keys)
    }

    /// Makes a cursor for `position`, good for the same `context` (tenant, route, filter) only: the signature, then the
    /// position.
    pub fn seal(&self, context: &str, position: &impl Serialize) -> Result<String> {
        let position = serde_json::to_vec(position).map_err(anyhow::Error::new)?;
        let mac = self.keys()?.mac(CURSORS, context, &position);
        Ok(URL_SAFE_NO_PAD.encode([mac.as_slice(), &position].concat()))
    }

    /// Opens a cursor that was made for `context`; any other is `Malformed` with code `bad_cursor`.
    pub fn open<T: DeserializeOwned>(&self, context: &str, cursor: &str) -> Result<T> {
        try_open(self.keys()?, context, cursor).ok_or_else(|| {
            Error::malformed_field(
                "bad_cursor",
                "cursor",
                "is not a cursor of this list; start again without one",
            )
        })
    }

    fn keys(&self) -> Result<&Keyring> {
        let missing = || anyhow!("this function has no keys for cursors");
        Ok(self.0.as_deref().ok_or_else(missing)?)
    }
}

fn try_open<T: DeserializeOwned>(keys: &Keyring, context: &str, cursor: &str) -> Option<T> {
    if cursor.len() > LONGEST {
        return None;
    }
    let signed = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (mac, position) = signed.split_at_checked(Keyring::MAC_LEN)?;
    let is_ours = keys.verify(CURSORS, context, position, mac);
    is_ours.then(|| serde_json::from_slice(position).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// With keys of these ids.
    fn with(ids: &[u8]) -> Cursors {
        let keys: Vec<String> = ids.iter().map(|id| format!("{id}:{id:064x}")).collect();
        Cursors::new(Some(Arc::new(keys.join(",").parse().unwrap())))
    }

    #[test]
    fn a_cursor_made_before_a_new_key_still_opens() {
        let cursor = with(&[1]).seal("here", &7_u32).unwrap();
        assert_eq!(with(&[2, 1]).open::<u32>("here", &cursor).unwrap(), 7);
        let refused = with(&[2]).open::<u32>("here", &cursor);
        assert!(matches!(refused, Err(Error::Malformed { code: "bad_cursor", .. })));
        assert!(
            with(&[1])
                .open::<u32>("here", &with(&[2, 1]).seal("here", &7_u32).unwrap())
                .is_err()
        );
    }

    #[test]
    fn without_keys_there_are_no_cursors() {
        assert!(matches!(
            Cursors::new(None).seal("here", &7_u32),
            Err(Error::Internal(_))
        ));
        assert!(matches!(
            Cursors::new(None).open::<u32>("here", ""),
            Err(Error::Internal(_))
        ));
    }

    #[test]
    fn a_cursor_opens_only_where_it_was_made() {
        let cursors = with(&[1]);
        let cursor = cursors.seal("org_1 /v1/projects", &7_u32).unwrap();
        assert_eq!(cursors.open::<u32>("org_1 /v1/projects", &cursor).unwrap(), 7);
        assert!(cursors.open::<u32>("org_2 /v1/projects", &cursor).is_err());
        assert!(with(&[2]).open::<u32>("org_1 /v1/projects", &cursor).is_err());
    }

    proptest! {
        #[test]
        fn no_text_opens(text in "\\PC{0,100}") {
            prop_assert!(with(&[1]).open::<serde_json::Value>("here", &text).is_err());
        }

        #[test]
        fn a_changed_cursor_does_not_open(position in "\\PC{0,40}", place: prop::sample::Index, letter in "[a-zA-Z0-9_=-]", cut: bool) {
            let cursors = with(&[1]);
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

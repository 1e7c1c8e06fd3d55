//! Sealing what is stored and may hold a secret.

use std::sync::Arc;

use anyhow::anyhow;
use kernel::Result;
use kernel::seal::{Keyring, Purpose};

/// What is sealed with the ring of [`Sealing`].
const STORED: Purpose = Purpose::named("stored");

/// Seals with the newest key of this deployment and opens with every one; a function that was not given them can do
/// neither. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sealing(Option<Arc<Keyring>>);

impl Sealing {
    /// With these keys, if there are any.
    pub fn with(keys: Option<Arc<Keyring>>) -> Self {
        Self(keys)
    }

    /// Seals bytes for a context.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.keys()?.seal(STORED, context, plain))
    }

    /// Opens what was sealed for the same context; nothing if it was not, was changed, or its key is gone.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.keys()?.open(STORED, context, sealed))
    }

    /// Whether something was sealed with an older key than the newest: then it is sealed anew when it is stored again.
    pub fn is_old(&self, sealed: &[u8]) -> Result<bool> {
        Ok(sealed.first() != Some(&self.keys()?.newest().0))
    }

    fn keys(&self) -> Result<&Keyring> {
        let missing = || anyhow!("this function has no keys to seal with");
        Ok(self.0.as_deref().ok_or_else(missing)?)
    }
}

#[cfg(test)]
mod tests {
    use kernel::Error;

    use super::*;

    fn sealing(ids: &[u8]) -> Sealing {
        let keys: Vec<String> = ids.iter().map(|id| format!("{id}:{id:064x}")).collect();
        Sealing::with(Some(Arc::new(keys.join(",").parse().unwrap())))
    }

    #[test]
    fn only_who_was_given_keys_seals_and_opens() {
        let given = sealing(&[1]);
        let sealed = given.seal("here", b"plain").unwrap();
        assert_eq!(given.open("here", &sealed).unwrap(), Some(b"plain".to_vec()));
        assert_eq!(given.open("there", &sealed).unwrap(), None);
        let other = Sealing::default();
        assert!(matches!(other.seal("here", b"plain"), Err(Error::Internal(_))));
        assert!(matches!(other.open("here", &sealed), Err(Error::Internal(_))));
        assert!(matches!(other.is_old(&sealed), Err(Error::Internal(_))));
    }

    #[test]
    fn what_an_older_key_sealed_opens_and_is_known_to_be_old() {
        let sealed = sealing(&[1]).seal("here", b"plain").unwrap();
        let rotated = sealing(&[2, 1]);
        assert_eq!(rotated.open("here", &sealed).unwrap(), Some(b"plain".to_vec()));
        assert!(rotated.is_old(&sealed).unwrap());
        assert!(!rotated.is_old(&rotated.seal("here", b"plain").unwrap()).unwrap());
        assert_eq!(sealing(&[2]).open("here", &sealed).unwrap(), None);
    }
}

//! Sealing what is stored and may hold a secret.

use std::sync::Arc;

use anyhow::anyhow;
use kernel::Result;
use kernel::seal::Seal;

use crate::Env;

/// The secret that seals.
const SECRET: &str = "SEALING_SECRET";

/// Seals and opens with the secret of this deployment; a function that was not given it can do neither. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Sealing(Option<Arc<Seal>>);

impl Sealing {
    /// That of a function with this environment: the secret of `SEALING_SECRET`.
    pub fn of(env: &Env) -> Self {
        Self(
            env.optional(SECRET)
                .map(|secret| Arc::new(Seal::new(secret.as_bytes()))),
        )
    }

    /// Seals bytes for a context.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.secret()?.seal(context, plain))
    }

    /// Opens what was sealed for the same context; nothing if it was not, or was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.secret()?.open(context, sealed))
    }

    fn secret(&self) -> Result<&Seal> {
        let missing = || anyhow!("the environment variable {SECRET} is not set");
        Ok(self.0.as_deref().ok_or_else(missing)?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kernel::{Error, Time};

    use super::*;
    use crate::Clock;

    fn sealing(variables: &[(&str, &str)]) -> Sealing {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sealing::of(&Env::of(BTreeMap::from_iter(owned), Clock::at(Time::from_millis(1))))
    }

    #[test]
    fn only_who_was_given_the_secret_seals_and_opens() {
        let given = sealing(&[(SECRET, "hush")]);
        let sealed = given.seal("here", b"plain").unwrap();
        assert_eq!(given.open("here", &sealed).unwrap(), Some(b"plain".to_vec()));
        assert_eq!(given.open("there", &sealed).unwrap(), None);
        let other = sealing(&[]);
        assert!(matches!(other.seal("here", b"plain"), Err(Error::Internal(_))));
        assert!(matches!(other.open("here", &sealed), Err(Error::Internal(_))));
    }
}

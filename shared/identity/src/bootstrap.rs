//! The first manager of a platform: whoever logs in with the address and the password that the deployment names, as
//! long as nobody has that address yet. And SSM, where that password and the signing key are kept.

use anyhow::Context;
use kernel::Result;
use subtle::ConstantTimeEq;

/// Reads secrets from SSM Parameter Store.
#[derive(Clone, Debug)]
pub(crate) struct Parameters(aws_sdk_ssm::Client);

impl Parameters {
    pub(crate) fn from_env() -> anyhow::Result<Self> {
        let mut config = aws_sdk_ssm::config::Builder::from(&lambda::aws_config()?);
        config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_SSM").ok());
        Ok(Self(aws_sdk_ssm::Client::from_conf(config.build())))
    }

    pub(crate) async fn read(&self, name: &str) -> anyhow::Result<String> {
        let reply = self.0.get_parameter().name(name).with_decryption(true).send().await;
        let value = reply
            .with_context(|| format!("reading the parameter {name}"))?
            .parameter
            .and_then(|found| found.value);
        value.with_context(|| format!("the parameter {name} has no value"))
    }
}

/// Who may become the first manager.
#[derive(Clone)]
pub struct Bootstrap {
    email: String,
    password: Source,
}

#[derive(Clone)]
enum Source {
    Nobody,
    Known(String),
    /// The SSM parameter of this name.
    Parameter(String),
}

impl Bootstrap {
    /// Nobody may.
    pub fn nobody() -> Self {
        Self {
            email: String::new(),
            password: Source::Nobody,
        }
    }

    /// Whoever knows this password.
    pub fn known(email: &str, password: &str) -> Self {
        Self {
            email: email.to_lowercase(),
            password: Source::Known(password.to_owned()),
        }
    }

    /// The one of `BOOTSTRAP_MANAGER_EMAIL`, if it is set, with the password in the SSM parameter that
    /// `BOOTSTRAP_MANAGER_PASSWORD_PARAMETER` names, which is read only when someone logs in so.
    pub fn from_env() -> anyhow::Result<Self> {
        let email = std::env::var("BOOTSTRAP_MANAGER_EMAIL")
            .unwrap_or_default()
            .to_lowercase();
        if email.is_empty() {
            return Ok(Self::nobody());
        }
        let parameter = lambda::variable("BOOTSTRAP_MANAGER_PASSWORD_PARAMETER")?;
        Ok(Self {
            email,
            password: Source::Parameter(parameter),
        })
    }

    /// Whether this is the first manager's address, in lower case.
    pub(crate) fn is(&self, email: &str) -> bool {
        !self.email.is_empty() && self.email == email
    }

    /// Whether this is the first manager's password. Takes the same time for any wrong one of its length.
    pub(crate) async fn accepts(&self, password: &str) -> Result<bool> {
        let expected = match &self.password {
            Source::Nobody => return Ok(false),
            Source::Known(password) => password.clone(),
            Source::Parameter(name) => Parameters::from_env()?.read(name).await?,
        };
        let expected = expected.trim_end_matches(['\r', '\n']);
        Ok(!expected.is_empty() && bool::from(expected.as_bytes().ct_eq(password.as_bytes())))
    }
}

impl std::fmt::Debug for Bootstrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_named_person_is_the_first_manager() {
        let bootstrap = Bootstrap::known("Boss@Example.com", "a long password");
        assert!(bootstrap.is("boss@example.com") && !bootstrap.is("other@example.com"));
        assert!(bootstrap.accepts("a long password").await.unwrap());
        assert!(!bootstrap.accepts("a long passwore").await.unwrap());
        assert!(!Bootstrap::nobody().is("") && !Bootstrap::nobody().accepts("").await.unwrap());
        assert!(!Bootstrap::known("a@b.co", "").accepts("").await.unwrap());
    }
}

//! What `auth` is told by its environment and by SSM Parameter Store, which keeps its secrets. They are read once, with
//! one call, before the first request.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use identity::oidc::Settings;
use identity::{Bootstrap, Google, Issuer, PublicKeys};
use lambda::Env;
use outbound::{AllowList, Client};

/// Name the parameters.
const SIGNING_KEY: &str = "JWT_PRIVATE_KEY_PARAMETER";
const MANAGER_PASSWORD: &str = "BOOTSTRAP_MANAGER_PASSWORD_PARAMETER";
const GOOGLE_SECRET: &str = "GOOGLE_CLIENT_SECRET_PARAMETER";

/// The secrets that are there, by the name of the variable that names their parameter.
pub(crate) struct Secrets(BTreeMap<&'static str, String>);

impl Secrets {
    /// Takes them from the environment, which reads them with the keys that every function has.
    pub(crate) async fn read(env: &Env) -> Result<Self> {
        let mut known = BTreeMap::new();
        for variable in [SIGNING_KEY, MANAGER_PASSWORD, GOOGLE_SECRET] {
            if let Some(secret) = env.secret(variable).await? {
                known.insert(variable, secret.trim_end_matches(['\r', '\n']).to_owned());
            }
        }
        Ok(Self(known))
    }

    /// What signs access tokens. Its public half stands in `JWT_PUBLIC_KEYS`.
    pub(crate) fn issuer(&self, env: &Env) -> Result<Issuer> {
        let name = env.variable(SIGNING_KEY)?;
        let text = self.0.get(SIGNING_KEY);
        let text = text.with_context(|| format!("the parameter {name} is not there"))?;
        let pkcs8 = STANDARD
            .decode(text.trim())
            .with_context(|| format!("{name} is no base64"))?;
        let keys = PublicKeys::parse(env.variable("JWT_PUBLIC_KEYS")?, env.variable("PUBLIC_URL")?)?;
        Issuer::new(&pkcs8, keys)
    }

    /// The first manager; nobody while `BOOTSTRAP_MANAGER_EMAIL` or the password is not set.
    pub(crate) fn bootstrap(&self, env: &Env) -> Bootstrap {
        let email = env.optional("BOOTSTRAP_MANAGER_EMAIL").unwrap_or_default();
        let password = self.0.get(MANAGER_PASSWORD);
        if !email.is_empty() && password.is_none() {
            tracing::warn!("the first manager has no password in SSM and cannot log in");
        }
        Bootstrap::known(email, password.map_or("", String::as_str))
    }

    /// The provider of `GOOGLE_ISSUER`, where we are `GOOGLE_CLIENT_ID`; nobody if that or `PUBLIC_URL` is empty.
    pub(crate) fn google(&self, env: &Env) -> Result<Google> {
        let (client_id, public_url) = (env.variable("GOOGLE_CLIENT_ID")?, env.variable("PUBLIC_URL")?);
        if client_id.is_empty() || public_url.is_empty() {
            return Ok(Google::nowhere());
        }
        let secret = self.0.get(GOOGLE_SECRET);
        if secret.is_none() {
            tracing::warn!("there is no client secret in SSM; the provider sees a public client");
        }
        let settings = Settings {
            issuer: env.variable("GOOGLE_ISSUER")?.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: secret.cloned().unwrap_or_default(),
            public_url: public_url.trim_end_matches('/').to_owned(),
        };
        let allowed = AllowList::parse(env.optional("OUTBOUND_ALLOW").unwrap_or_default());
        Ok(Google::new(settings, Client::new(allowed)))
    }
}

//! The provider: found by its discovery document, asked for an account in exchange for a code. What it says of itself
//! and its keys are kept for an hour, and the keys fetched once more for a token with a key that is not among them.

use std::sync::Arc;

use anyhow::{Context, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kernel::{Error, Result, Time};
use outbound::header::{AUTHORIZATION, HeaderValue};
use outbound::{Failure, Request, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::attempt::Secrets;
use super::id_token::{self, Bad, Claims, Expected, Keys, Person};
use super::{CALLBACK, Settings};

/// What was read so long ago is read again.
const AGE: i64 = Time::HOUR;
/// Codes have some hundred characters.
const LONGEST_CODE: usize = 4_096;
/// What a person may be called, in characters.
const LONGEST_NAME: usize = 100;
const FORM: &str = "application/x-www-form-urlencoded";

/// An account at the provider.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) issuer: String,
    /// Names the account at its issuer, for ever.
    pub(super) subject: String,
    /// In lower case.
    pub(super) email: String,
    pub(super) email_verified: bool,
    /// What the person is called, 1 to 100 characters.
    pub(super) name: String,
}

/// What the provider says of itself (OpenID Connect Discovery).
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    fn check(&self, issuer: &str) -> anyhow::Result<()> {
        ensure!(self.issuer == issuer, "it is the document of {}", self.issuer);
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        for endpoint in endpoints.into_iter().chain(&self.userinfo_endpoint) {
            let secure = Url::parse(endpoint).is_ok_and(|url| url.scheme() == "https");
            ensure!(
                secure || issuer.starts_with("http://"),
                "{endpoint:?} is no https address"
            );
        }
        Ok(())
    }

    /// The page that people log in at, with these parameters besides its own.
    pub(super) fn login_page(&self, parameters: &[(&str, &str)]) -> Result<String> {
        let mut page = Url::parse(&self.authorization_endpoint).map_err(anyhow::Error::new)?;
        page.query_pairs_mut().extend_pairs(parameters);
        Ok(page.into())
    }

    /// Whether an answer that names this issuer may be this provider's: one that always names itself has to (RFC 9207).
    pub(super) fn may_have_answered(&self, issuer: Option<&str>) -> bool {
        match issuer {
            Some(issuer) => issuer == self.issuer,
            None => !self.authorization_response_iss_parameter_supported,
        }
    }

    /// Whether our password goes into a header (what every provider takes unless it says otherwise) or into the form.
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"))
    }
}

#[derive(Deserialize)]
struct TokenReply {
    id_token: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    person: Person,
}

/// Something that was read at a time.
type Kept<T> = Mutex<Option<(Time, Arc<T>)>>;

/// The provider, and what is known of it.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) settings: Settings,
    http: outbound::Client,
    metadata: Kept<Metadata>,
    keys: Kept<Keys>,
}

impl Provider {
    pub(super) fn new(settings: Settings, http: outbound::Client) -> Self {
        Self {
            settings,
            http,
            metadata: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// Where the provider sends people back to.
    pub(super) fn redirect_uri(&self) -> String {
        format!("{}{CALLBACK}", self.settings.public_url)
    }

    /// What the provider says of itself, at most an hour ago.
    pub(super) async fn metadata(&self, now: Time) -> Result<Arc<Metadata>> {
        let mut kept = self.metadata.lock().await;
        if let Some(fresh) = fresh(kept.as_ref(), now) {
            return Ok(fresh);
        }
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let found: Metadata = self.read(Request::get(url)).await?;
        let checked = found.check(issuer);
        checked.with_context(|| format!("the discovery document of {issuer}"))?;
        Ok(kept.insert((now, Arc::new(found))).1.clone())
    }

    /// The provider's keys, at most an hour old; read again if `stale` are not good any more.
    async fn keys(&self, now: Time, stale: Option<&Arc<Keys>>) -> Result<Arc<Keys>> {
        let metadata = self.metadata(now).await?;
        let mut kept = self.keys.lock().await;
        if let Some(fresh) = fresh(kept.as_ref(), now)
            && !stale.is_some_and(|stale| Arc::ptr_eq(stale, &fresh))
        {
            return Ok(fresh);
        }
        let found: Value = self.read(Request::get(metadata.jwks_uri.clone())).await?;
        Ok(kept.insert((now, Arc::new(Keys::parse(&found)))).1.clone())
    }

    /// The account that a code is worth.
    pub(super) async fn account(&self, now: Time, code: &str, secrets: &Secrets) -> Result<Account> {
        let tokens = self.exchange(now, code, secrets).await?;
        let claims = self.verify(now, &tokens.id_token, secrets).await?;
        let mut person = claims.person;
        if person.email.is_none()
            && let Some(token) = tokens.access_token
        {
            // The standard lets a provider tell it there only.
            person = self.user_info(now, &token, &claims.sub).await?;
        }
        let email = person.email.as_deref().unwrap_or_default().to_lowercase();
        Ok(Account {
            issuer: self.settings.issuer.clone(),
            subject: claims.sub,
            email_verified: person.is_verified(),
            name: name_of(&person, &email),
            email,
        })
    }

    async fn exchange(&self, now: Time, code: &str, secrets: &Secrets) -> Result<TokenReply> {
        if code.len() > LONGEST_CODE {
            return Err(bad_code());
        }
        let metadata = self.metadata(now).await?;
        let secret = &self.settings.client_secret;
        let in_header = metadata.takes_basic() && !secret.is_empty();
        let form = self.form(code, secrets, (!in_header).then_some(secret));
        let mut request = Request::post(metadata.token_endpoint.clone(), FORM, form);
        if in_header {
            request = request.header(AUTHORIZATION, basic(&self.settings.client_id, secret)?);
        }
        let reply = self.http.send(request).await.map_err(failed)?;
        match reply.status {
            StatusCode::OK => parse(&self.settings.issuer, &reply.body),
            status => Err(refusal(status, &reply.body)),
        }
    }

    /// What the token endpoint is asked; with our name and password unless they stand in a header.
    fn form(&self, code: &str, secrets: &Secrets, password: Option<&String>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code");
        form.append_pair("code", code);
        form.append_pair("redirect_uri", &self.redirect_uri());
        form.append_pair("code_verifier", &secrets.verifier());
        if let Some(password) = password {
            form.append_pair("client_id", &self.settings.client_id);
            if !password.is_empty() {
                form.append_pair("client_secret", password);
            }
        }
        form.finish()
    }

    async fn verify(&self, now: Time, token: &str, secrets: &Secrets) -> Result<Claims> {
        let (issuer, client_id) = (&*self.settings.issuer, &*self.settings.client_id);
        let nonce = &*secrets.nonce();
        let expected = Expected {
            issuer,
            client_id,
            nonce,
            now,
        };
        let keys = self.keys(now, None).await?;
        let mut verified = id_token::verify(token, &keys, &expected);
        if matches!(verified, Err(Bad::UnknownKey)) {
            let keys = self.keys(now, Some(&keys)).await?;
            verified = id_token::verify(token, &keys, &expected);
        }
        verified.map_err(|bad| {
            tracing::warn!(reason = %bad, "an ID token was refused");
            bad_id_token()
        })
    }

    async fn user_info(&self, now: Time, access_token: &str, subject: &str) -> Result<Person> {
        let metadata = self.metadata(now).await?;
        let Some(url) = &metadata.userinfo_endpoint else {
            return Ok(Person::default());
        };
        let bearer = HeaderValue::try_from(format!("Bearer {access_token}")).map_err(|_| bad_id_token())?;
        let info: UserInfo = self
            .read(Request::get(url.clone()).header(AUTHORIZATION, bearer))
            .await?;
        // Else it may be about somebody else (OpenID Connect Core, 5.3.2).
        if info.sub == subject {
            Ok(info.person)
        } else {
            Err(bad_id_token())
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let reply = self.http.send(request).await.map_err(failed)?;
        match reply.status {
            StatusCode::OK => parse(&self.settings.issuer, &reply.body),
            status if is_away(status) => Err(away(&format!("answered {status}"))),
            status => Err(anyhow!("{} answered {status}", self.settings.issuer).into()),
        }
    }
}

fn fresh<T>(kept: Option<&(Time, Arc<T>)>, now: Time) -> Option<Arc<T>> {
    let (at, value) = kept?;
    (0..AGE)
        .contains(&(now.millis() - at.millis()))
        .then(|| Arc::clone(value))
}

fn parse<T: DeserializeOwned>(issuer: &str, body: &[u8]) -> Result<T> {
    let value = serde_json::from_slice(body);
    // The error names a field, never what stands in it.
    Ok(value.map_err(|error| anyhow!("{issuer} answered what cannot be read: {:?} error", error.classify()))?)
}

fn is_away(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn away(reason: &str) -> Error {
    tracing::warn!(reason, "the login provider is away");
    Error::Busy
}

fn failed(failure: Failure) -> Error {
    match failure {
        // Whoever configured the issuer has to allow it, too.
        Failure::Refused(_) => Error::Internal(anyhow::Error::new(failure).context("calling the login provider")),
        failure => away(&failure.to_string()),
    }
}

/// HTTP Basic as OAuth wants it: both halves form-encoded first (RFC 6749, 2.3.1).
fn basic(id: &str, secret: &str) -> Result<HeaderValue> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
    Ok(HeaderValue::try_from(format!("Basic {pair}")).map_err(anyhow::Error::new)?)
}

/// What the token endpoint's refusal means: a bad code, or our own bad name or password.
fn refusal(status: StatusCode, body: &[u8]) -> Error {
    if is_away(status) {
        return away(&format!("answered {status}"));
    }
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    match said["error"].as_str() {
        Some("invalid_grant" | "invalid_request") => bad_code(),
        error => {
            let error: String = error.unwrap_or("nothing").chars().take(LONGEST_NAME).collect();
            anyhow!("the login provider refused us: {status}, {error:?}").into()
        }
    }
}

pub(super) fn bad_code() -> Error {
    Error::Unauthenticated {
        code: "bad_code",
        detail: "the provider does not take this code: it is used, too old, or not for this login; begin again",
    }
}

fn bad_id_token() -> Error {
    Error::Unauthenticated {
        code: "bad_id_token",
        detail: "what the provider says about you cannot be trusted; begin again",
    }
}

/// Why the provider sent somebody back without a code (RFC 6749, 4.1.2.1).
pub(super) fn denied(error: &str) -> Error {
    match error {
        "server_error" | "temporarily_unavailable" => away("it says so itself"),
        _ => Error::Unauthenticated {
            code: "google_denied",
            detail: "the provider did not log you in, or you did not let it tell us who you are; begin again",
        },
    }
}

/// What the provider calls them, or else the first half of their address.
fn name_of(person: &Person, email: &str) -> String {
    let clean = |text: &str| {
        let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let given = person.name.as_deref().and_then(clean);
    given.unwrap_or_else(|| clean(email.split('@').next().unwrap_or_default()).unwrap_or_else(|| "Somebody".to_owned()))
}

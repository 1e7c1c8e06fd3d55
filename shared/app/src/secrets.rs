//! Secrets: values of SSM Parameter Store that the environment names. All of a function's are read with one call, when
//! the first is asked for: by functions that start with one, before their first invocation; by others never.
//!
//! The call is made here by hand, with the parts that the SDK's clients are made of: their crate for SSM takes as long to
//! build as all of ours, for one operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials};
use aws_sdk_dynamodb::error::{BoxError, DisplayErrorContext};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use kernel::Time;
use kernel::seal::Keyring;
use serde::Deserialize;
use serde_json::json;

use crate::Env;

/// Variables that end so name a parameter each.
const NAMES_A_PARAMETER: &str = "_PARAMETER";
/// More names does one call not take.
const MOST: usize = 10;

/// The secrets that are there, by the variable that names their parameter.
pub(crate) type Secrets = BTreeMap<String, String>;

impl Env {
    /// The secret whose parameter a variable names; nothing if there is no such parameter. The variable must be there.
    pub async fn secret(&self, variable: &str) -> Result<Option<&str>> {
        self.variable(variable)?;
        let secrets = self.secrets.get_or_try_init(|| read(self)).await?;
        Ok(secrets.get(variable).map(String::as_str))
    }

    /// The ring of keys whose parameter a variable names; nothing if the variable is not set, for then this function
    /// needs none. A parameter that is not there, or holds no keyring, is an error.
    pub async fn keyring(&self, variable: &str) -> Result<Option<Arc<Keyring>>> {
        let Some(name) = self.optional(variable) else {
            return Ok(None);
        };
        let secret = self.secret(variable).await?;
        let secret = secret.with_context(|| format!("the parameter {name} is not there"))?;
        let ring = secret
            .parse::<Keyring>()
            .with_context(|| format!("the parameter {name}"))?;
        Ok(Some(Arc::new(ring)))
    }
}

/// Reads all that the environment names.
async fn read(env: &Env) -> Result<Secrets> {
    let named: Vec<(&str, &str)> = env.variables_ending(NAMES_A_PARAMETER).collect();
    ensure!(
        named.len() <= MOST,
        "more than {MOST} parameters are not read with one call"
    );
    let mut names: Vec<&str> = named.iter().map(|(_, name)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let found = get_parameters(env, &names).await.context("reading the secrets")?;
    let value = |name: &str| found.iter().find(|one| one.name == name).map(|one| one.value.clone());
    let known = named
        .iter()
        .filter_map(|(variable, name)| Some(((*variable).to_owned(), value(name)?)));
    Ok(known.collect())
}

/// A parameter, as the reply has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    name: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    parameters: Vec<Parameter>,
}

/// Why the secrets were not read. The text is SSM's own, and holds no value.
#[derive(Debug, thiserror::Error)]
#[error("SSM answered {status}: {text}")]
struct NotRead {
    status: u16,
    text: String,
}

/// `GetParameters` of SSM, decrypted. Those that do not exist are left out.
async fn get_parameters(env: &Env, names: &[&str]) -> Result<Vec<Parameter>> {
    let config = env.aws_config()?;
    let call = Call {
        credentials: env.credentials()?,
        region: env.variable("AWS_REGION")?.to_owned(),
        now: env.clock().now(),
        body: json!({"Names": names, "WithDecryption": true}).to_string(),
        endpoint: env.aws_endpoint("SSM").unwrap_or_default(),
    };
    let call = call.at_its_endpoint();
    let operation = Operation::builder()
        .service_name("ssm")
        .operation_name("GetParameters")
        .behavior_version(BehaviorVersion::latest())
        .http_client(config.http_client().context("an HTTP client")?)
        .endpoint_url(&call.endpoint)
        .no_auth()
        .standard_retry(config.retry_config().context("how often to try")?)
        .retry_classifier(TransientErrorClassifier::<NotRead>::new())
        .retry_classifier(HttpStatusCodeClassifier::default())
        .timeout_config(config.timeout_config().context("how long to wait")?.clone())
        .serializer(|call: Call| call.signed())
        .deserializer(found)
        .build();
    let found = operation.invoke(call).await;
    found.map_err(|error| anyhow!("{}", DisplayErrorContext(&error)))
}

/// The call, before it is signed.
struct Call {
    credentials: Credentials,
    region: String,
    now: Time,
    body: String,
    endpoint: String,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Call {
    /// With AWS's own address, if no other is set.
    fn at_its_endpoint(mut self) -> Self {
        if self.endpoint.is_empty() {
            self.endpoint = format!("https://ssm.{}.amazonaws.com", self.region);
        }
        self
    }

    fn signed(self) -> Result<HttpRequest, BoxError> {
        let uri = format!("{}/", self.endpoint.trim_end_matches('/'));
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "AmazonSSM.GetParameters"),
        ];
        let identity = Identity::from(self.credentials);
        let millis = self.now.millis().unsigned_abs();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ssm")
            .time(SystemTime::UNIX_EPOCH + Duration::from_millis(millis))
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(self.body.as_bytes());
        let signable = SignableRequest::new("POST", uri.as_str(), headers.into_iter(), body)?;
        let (signature, _) = sign(signable, &parameters)?.into_parts();
        let mut request = http::Request::post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(SdkBody::from(self.body))?;
        signature.apply_to_request_http1x(&mut request);
        Ok(request.try_into()?)
    }
}

fn found(reply: &HttpResponse) -> Result<Vec<Parameter>, OrchestratorError<NotRead>> {
    let bytes = reply.body().bytes().unwrap_or_default();
    if !reply.status().is_success() {
        let text = String::from_utf8_lossy(bytes).chars().take(300).collect();
        let status = reply.status().as_u16();
        return Err(OrchestratorError::operation(NotRead { status, text }));
    }
    let found: Found = serde_json::from_slice(bytes).map_err(OrchestratorError::other)?;
    Ok(found.parameters)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use super::*;
    use crate::Clock;

    /// Answers as many calls as there are replies (status and body), and tells what was asked.
    fn ssm(replies: Vec<(u16, String)>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let answer = |(status, body): &(u16, String)| {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut asked, mut part) = (Vec::new(), [0; 4_096]);
                while !asked.ends_with(b"}") {
                    let many = stream.read(&mut part).unwrap();
                    asked.extend(&part[..many]);
                }
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
                String::from_utf8(asked).unwrap()
            };
            replies.iter().map(answer).collect()
        });
        (endpoint, server)
    }

    fn env(endpoint: &str, variables: &[(&str, &str)]) -> Env {
        let given = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "tests"),
            ("AWS_SESSION_TOKEN", "session"),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL_SSM", endpoint),
        ];
        let all = given.iter().chain(variables);
        let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Env::of(all.collect(), Clock::at(Time::from_millis(1_800_000_000_000)))
    }

    fn found(parameters: &[(&str, &str)]) -> String {
        let one = |(name, value): &(&str, &str)| json!({"Name": name, "Value": value, "Type": "SecureString"});
        json!({"Parameters": parameters.iter().map(one).collect::<Vec<_>>(), "InvalidParameters": ["/absent"]})
            .to_string()
    }

    #[tokio::test]
    async fn all_secrets_are_read_with_one_call() {
        let ring = format!("7:{:064x}", 1);
        let reply = found(&[("/a", "first"), ("/ring", &ring)]);
        let (endpoint, server) = ssm(vec![(200, reply)]);
        let variables = [
            ("A_PARAMETER", "/a"),
            ("AGAIN_PARAMETER", "/a"),
            ("RING_PARAMETER", "/ring"),
            ("ABSENT_PARAMETER", "/absent"),
        ];
        let env = env(&endpoint, &variables);
        assert_eq!(env.secret("A_PARAMETER").await.unwrap(), Some("first"));
        assert_eq!(env.clone().secret("AGAIN_PARAMETER").await.unwrap(), Some("first"));
        assert_eq!(env.secret("ABSENT_PARAMETER").await.unwrap(), None);
        assert!(env.secret("OTHER_PARAMETER").await.is_err(), "nobody named it");
        assert_eq!(env.keyring("RING_PARAMETER").await.unwrap().unwrap().newest().0, 7);
        assert!(env.keyring("OTHER_PARAMETER").await.unwrap().is_none());
        let absent = env.keyring("ABSENT_PARAMETER").await.unwrap_err();
        assert_eq!(absent.to_string(), "the parameter /absent is not there");
        let bad = format!("{:#}", env.keyring("A_PARAMETER").await.unwrap_err());
        assert!(
            bad.starts_with("the parameter /a: key 1") && !bad.contains("first"),
            "{bad}"
        );

        let asked = server.join().unwrap().remove(0);
        assert!(
            asked.ends_with(r#"{"Names":["/a","/absent","/ring"],"WithDecryption":true}"#),
            "{asked}"
        );
        let headers = asked.to_ascii_lowercase();
        let signed = "authorization: aws4-hmac-sha256 credential=akidexample/20270115/eu-west-1/ssm/aws4_request, \
            signedheaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, signature=";
        assert!(headers.contains(signed), "{asked}");
        assert!(headers.contains("x-amz-target: amazonssm.getparameters\r\n"), "{asked}");
        assert!(headers.contains("x-amz-security-token: session\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_call_is_made_again_when_ssm_is_busy_and_not_when_it_refuses() {
        let refusal = r#"{"__type":"AccessDeniedException","Message":"no"}"#.to_owned();
        let replies = vec![(503, "{}".to_owned()), (200, found(&[("/a", "first")])), (400, refusal)];
        let (endpoint, server) = ssm(replies);
        let variables = [("A_PARAMETER", "/a")];
        let read = env(&endpoint, &variables);
        assert_eq!(read.secret("A_PARAMETER").await.unwrap(), Some("first"));
        let error = format!(
            "{:#}",
            env(&endpoint, &variables).secret("A_PARAMETER").await.unwrap_err()
        );
        assert!(
            error.contains("reading the secrets") && error.contains("SSM answered 400"),
            "{error}"
        );
        assert_eq!(server.join().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_function_that_names_no_secret_asks_nobody() {
        let env = env("http://127.0.0.1:9", &[]);
        assert!(env.keyring("RING_PARAMETER").await.unwrap().is_none());
    }

    #[test]
    fn without_another_address_it_is_awss_own() {
        let call = Call {
            credentials: Credentials::new("a", "b", None, None, "tests"),
            region: "eu-west-1".to_owned(),
            now: Time::from_millis(0),
            body: String::new(),
            endpoint: String::new(),
        };
        let call = call.at_its_endpoint();
        assert_eq!(call.endpoint, "https://ssm.eu-west-1.amazonaws.com");
        assert!(!format!("{call:?}").contains("credentials"));
    }
}

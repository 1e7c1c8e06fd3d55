//! How the AWS clients of a function are set up: explicitly, from the variables that Lambda sets. No profile files, no
//! metadata service.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::SdkConfig;

use crate::Env;

/// The roots of Amazon Trust Services, one of which every endpoint of AWS has, as its documentation says:
/// <https://www.amazontrust.com/repository/>. The system's list has thirty times as many, and reading it took more than
/// half of the time that a function needs to start.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");
/// Names a file with other roots, as for the CLI: for a proxy that answers in AWS's place.
const OTHER_ROOTS: &str = "AWS_CA_BUNDLE";

/// A call that stays unanswered for so long is made again; without a limit silence would last until the function's
/// own timeout kills it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// So often is a call made that is refused for its rate, fails on the other side or stays unanswered.
const ATTEMPTS: u32 = 4;
/// The longest first pause between two; it doubles. DynamoDB and SQS recover within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The connections to AWS, which all clients of a process share.
fn http_client(env: &Env) -> Result<SharedHttpClient> {
    static CLIENT: OnceLock<SharedHttpClient> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let roots = match env.optional(OTHER_ROOTS) {
        Some(file) => std::fs::read(file).with_context(|| format!("{OTHER_ROOTS} names {file}"))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let trusted = TrustStore::empty().with_pem_certificate(roots);
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trusted).build()?)
        .build_https();
    Ok(CLIENT.get_or_init(|| client).clone())
}

impl Env {
    /// What every AWS client needs: region, credentials, time-outs, connections. The address of a service is its
    /// client's own affair; see [`Env::aws_endpoint`].
    pub fn aws_config(&self) -> Result<SdkConfig> {
        let retries = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_PAUSE);
        // Where time stands still, nothing takes long: a thousand calls of a test may well wait for one processor.
        let attempt = self.clock().runs().then_some(ATTEMPT_TIMEOUT);
        let mut times = TimeoutConfig::builder();
        times.set_operation_attempt_timeout(attempt);
        Ok(SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.variable("AWS_REGION")?.to_owned()))
            .retry_config(retries)
            .timeout_config(times.build())
            .http_client(http_client(self)?)
            .credentials_provider(SharedCredentialsProvider::new(self.credentials()?))
            .build())
    }

    /// The credentials that Lambda sets.
    pub(crate) fn credentials(&self) -> Result<Credentials> {
        Ok(Credentials::new(
            self.variable("AWS_ACCESS_KEY_ID")?,
            self.variable("AWS_SECRET_ACCESS_KEY")?,
            self.optional("AWS_SESSION_TOKEN").map(str::to_owned),
            None,
            "environment",
        ))
    }

    /// Where a service listens, if not at AWS's own address: `AWS_ENDPOINT_URL_<SERVICE>`, the variable of every SDK.
    pub fn aws_endpoint(&self, service: &str) -> Option<String> {
        self.optional(&format!("AWS_ENDPOINT_URL_{service}")).map(str::to_owned)
    }
}

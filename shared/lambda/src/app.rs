//! What every function starts with: its tables, its clock, its secret for cursors. Built once, during init, from the
//! environment alone: no profile files, no metadata service.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::SharedHttpClient;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use kernel::Time;
use table::{Cursors, Table};

use crate::Clock;

/// The roots of Amazon Trust Services, one of which every endpoint of AWS has, as its documentation says:
/// <https://www.amazontrust.com/repository/>. The system's list has thirty times as many, and reading it took more than
/// half of the time that a function needs to start.
const AMAZON_ROOTS: &[u8] = include_bytes!("amazon-roots.pem");
/// Names a file with other roots, as for the CLI: for a proxy that answers in AWS's place.
const OTHER_ROOTS: &str = "AWS_CA_BUNDLE";

/// The parts that handlers share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// DynamoDB.
    pub table: Table,
    /// Signs and opens the cursors of lists.
    pub cursors: Cursors,
    /// Tells the time.
    pub clock: Clock,
}

impl App {
    /// Builds the parts from the environment of a function.
    pub fn from_env() -> Result<Self> {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&aws_config()?);
        config.set_endpoint_url(std::env::var("AWS_ENDPOINT_URL_DYNAMODB").ok());
        Ok(Self {
            table: Table::from_env(aws_sdk_dynamodb::Client::from_conf(config.build())),
            cursors: Cursors::new(variable("CURSOR_SECRET")?.as_bytes()),
            clock: Clock::from_env(),
        })
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.clock.now()
    }
}

/// A call that stays unanswered for so long is made again; without a limit silence would last until the function's
/// own timeout kills it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// So often is a call made that is refused for its rate, fails on the other side or stays unanswered.
const ATTEMPTS: u32 = 4;
/// The longest first pause between two; it doubles. DynamoDB and SQS recover within milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The connections to AWS, which all clients of a process share.
fn http_client() -> Result<SharedHttpClient> {
    static CLIENT: OnceLock<SharedHttpClient> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let roots = match std::env::var_os(OTHER_ROOTS) {
        Some(file) => std::fs::read(&file).with_context(|| format!("{OTHER_ROOTS} names {}", file.display()))?,
        None => AMAZON_ROOTS.to_vec(),
    };
    let trusted = TrustStore::empty().with_pem_certificate(roots);
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(TlsContext::builder().with_trust_store(trusted).build()?)
        .build_https();
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// Reads what every AWS client needs from the environment that Lambda sets: region and credentials.
pub fn aws_config() -> Result<SdkConfig> {
    let credentials = aws_sdk_dynamodb::config::Credentials::new(
        variable("AWS_ACCESS_KEY_ID")?,
        variable("AWS_SECRET_ACCESS_KEY")?,
        std::env::var("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    );
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(variable("AWS_REGION")?))
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(ATTEMPTS)
                .with_initial_backoff(FIRST_PAUSE),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build(),
        )
        .http_client(http_client()?)
        .credentials_provider(aws_sdk_dynamodb::config::SharedCredentialsProvider::new(credentials))
        .build())
}

/// Reads an environment variable that must be there.
pub fn variable(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("the environment variable {name} is not set"))
}

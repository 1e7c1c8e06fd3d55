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
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_types::SdkConfig;
use http::Uri;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

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
    let client = if spans::is_on() { Timed::by(client) } else { client };
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// Connections whose calls are recorded as spans, one for each attempt.
#[derive(Debug)]
struct Timed<T>(T);

impl Timed<SharedHttpClient> {
    fn by(client: SharedHttpClient) -> SharedHttpClient {
        SharedHttpClient::new(Self(client))
    }
}

impl HttpClient for Timed<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, parts: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Timed(self.0.http_connector(settings, parts)))
    }
}

impl HttpConnector for Timed<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let span = span(&request);
        let call = self.0.call(request).instrument(span.clone());
        HttpConnectorFuture::new(async move {
            let answered = call.await;
            let status = answered.as_ref().ok().map(|reply| reply.status().as_u16());
            span.record("http.response.status_code", status);
            span.record("error", status.is_none_or(|status| status >= 400));
            answered
        })
    }
}

/// What a call of AWS takes, as OpenTelemetry's conventions for its SDKs describe it. `DynamoDB_20120810.PutItem` or
/// `AmazonSQS.SendMessage` is what the header says that names it; services without one (S3, SES) are named by method and host.
fn span(request: &HttpRequest) -> Span {
    let target = request.headers().get("x-amz-target");
    let (service, method) = target.and_then(|target| target.split_once('.')).unwrap_or_default();
    let service = service.split('_').next().unwrap_or_default();
    let service = service.strip_prefix("Amazon").unwrap_or(service);
    let host = request.uri().parse::<Uri>().ok();
    let host = host.as_ref().and_then(Uri::host).unwrap_or_default();
    let name = if service.is_empty() {
        format!("{} {host}", request.method())
    } else {
        format!("{service}.{method}")
    };
    tracing::info_span!(
        target: spans::TARGET,
        "aws",
        otel.kind = "client",
        otel.name = name,
        rpc.system = "aws-api",
        rpc.service = service,
        rpc.method = method,
        server.address = host,
        http.response.status_code = Empty,
        // Until it is answered: who gives up waiting says nothing more.
        error = true,
    )
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

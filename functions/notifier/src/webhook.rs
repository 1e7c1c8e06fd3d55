//! Webhook calls, signed by the Standard Webhooks' scheme `v1`.

use std::time::Duration;

use kernel::{JobId, Time};
use notifications::{Failure, Webhook, webhook};
use outbound::header::{HeaderName, HeaderValue};
use outbound::{Client, Request};

/// How long a target may take in all; well within the job's lease.
const TIMEOUT: Duration = Duration::from_secs(15);
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Makes the call. Any 2xx status is success; all else, redirects too, is a failure. A target that may not be called
/// will not be another time.
pub(crate) async fn send(client: &Client, now: Time, job: JobId, webhook: &Webhook) -> Result<(), Failure> {
    let Some(request) = request(now, job, webhook) else {
        return Err(failure("it cannot be signed".to_owned(), true));
    };
    match client.status(request).await {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) if status.is_redirection() => {
            let status = status.as_u16();
            Err(failure(
                format!("the target answered {status}; redirects are not followed"),
                false,
            ))
        }
        Ok(status) => Err(failure(format!("the target answered {}", status.as_u16()), false)),
        Err(error) => Err(failure(
            error.to_string(),
            matches!(error, outbound::Failure::Refused(_)),
        )),
    }
}

fn request(now: Time, job: JobId, webhook: &Webhook) -> Option<Request> {
    let id = job.to_string();
    let mut signature = HeaderValue::try_from(webhook::sign(&webhook.secret, &id, now, &webhook.body).ok()?).ok()?;
    signature.set_sensitive(true);
    let request = Request::post(&webhook.url, "application/json", webhook.body.clone())
        .header(ID, HeaderValue::try_from(id).ok()?)
        .header(TIMESTAMP, HeaderValue::from(now.seconds()))
        .header(SIGNATURE, signature)
        .timeout(TIMEOUT);
    Some(request)
}

fn failure(message: String, is_final: bool) -> Failure {
    Failure { message, is_final }
}

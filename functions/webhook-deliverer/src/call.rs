//! One webhook call, signed by the Standard Webhooks' scheme `v1`.

use std::time::Duration;

use endpoints::call::Message;
use jobs::{Outcome, Running};
use kernel::Time;
use notifications::{WebhookNotice, webhook};
use outbound::{Client, Request};

/// How long a target may take in all, of which 5 s to connect; well within the job's lease.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Whether nobody listens, the connection broke off or nothing came in time is told to nobody: whoever names targets would
/// learn from it which ports of others are open.
const NO_ANSWER: &str = "the target gave no answer";

/// Makes the call. Any 2xx status is success; all else, redirects too, is a failure. A target that may not be called
/// will not be another time.
pub(crate) async fn make(client: &Client, now: Time, running: &Running<'_, WebhookNotice>) -> Outcome {
    let Some(request) = request(now, running) else {
        return Outcome::dead("it cannot be signed");
    };
    let (status, headers) = match client.head(request).await {
        Ok(answer) => answer,
        Err(refused @ outbound::Failure::Refused(_)) => return Outcome::dead(refused.to_string()),
        Err(failure) => {
            tracing::info!(job.id = %running.id(), error = %failure, "a webhook's target gave no answer");
            return Outcome::again(NO_ANSWER);
        }
    };
    if status.is_success() {
        return Outcome::Done;
    }
    let why = format!("the target answered {}", status.as_u16());
    Outcome::Again {
        why: if status.is_redirection() {
            format!("{why}; redirects are not followed")
        } else {
            why
        },
        after: outbound::retry_after(&headers, now.millis()),
    }
}

fn request(now: Time, running: &Running<'_, WebhookNotice>) -> Option<Request> {
    let (id, webhook) = (running.id().to_string(), &running.job);
    let signature = webhook::sign(&webhook.secret, &id, now, &webhook.body).ok()?;
    let message = Message {
        id: &id,
        body: &webhook.body,
        trace: running.origin().trace.as_deref(),
    };
    endpoints::call::request(&webhook.url, message, signature, now, TIMEOUT).ok()
}

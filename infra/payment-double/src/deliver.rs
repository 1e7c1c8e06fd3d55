//! Webhooks: signed as each provider signs, sent until they are taken.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::world::{Provider, Webhook, WebhookState, World};
use crate::{Shared, real_ms};

/// How long whoever is told may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long after a failure it is sent again, in milliseconds.
const PAUSES: [i64; 8] = [200, 500, 1_000, 2_000, 5_000, 15_000, 60_000, 300_000];
/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(200);

fn mac(secret: &str, parts: &[&str]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
    for part in parts {
        context.update(part.as_bytes());
    }
    context.sign().as_ref().to_vec()
}

/// The headers of a webhook, with its signature of now.
pub(crate) fn headers(webhook: &Webhook, secret: &str, now: i64) -> Vec<(String, String)> {
    let body = webhook.body.as_str();
    let named = |name: &str, value: String| (name.to_owned(), value);
    let mut headers = vec![named("content-type", "application/json".to_owned())];
    match webhook.provider {
        Provider::Stripe => {
            let stamp = (now / 1_000).to_string();
            let signature = hex::encode(mac(secret, &[&stamp, ".", body]));
            headers.push(named("stripe-signature", format!("t={stamp},v1={signature},v0=00")));
        }
        Provider::Razorpay => {
            headers.push(named("x-razorpay-signature", hex::encode(mac(secret, &[body]))));
            headers.push(named(
                "x-razorpay-event-id",
                webhook.id.trim_end_matches('r').to_owned(),
            ));
        }
        Provider::Cashfree => {
            let stamp = now.to_string();
            let signature = STANDARD.encode(mac(secret, &[&stamp, body]));
            headers.push(named("x-webhook-timestamp", stamp));
            headers.push(named("x-webhook-signature", signature));
            headers.push(named("x-webhook-version", "2025-01-01".to_owned()));
            headers.push(named("x-webhook-attempt", (webhook.attempts.len() + 1).to_string()));
            headers.push(named("x-idempotency-key", webhook.id.trim_end_matches('r').to_owned()));
        }
    }
    headers
}

impl World {
    /// A webhook as it is sent now: its body and headers.
    pub(crate) fn signed(&self, id: &str, now: i64) -> Option<(String, Vec<(String, String)>)> {
        let webhook = self.outgoing.iter().find(|webhook| webhook.id == id)?;
        let account = self.account(webhook.provider, &webhook.account)?;
        Some((webhook.body.clone(), headers(webhook, &account.webhook_secret, now)))
    }

    /// The place of the first that is due, with where it goes. Those of accounts that nobody registered wait.
    fn due(&self, real: i64) -> Option<(usize, String)> {
        self.outgoing.iter().enumerate().find_map(|(place, webhook)| {
            if webhook.state != WebhookState::Waiting || webhook.due > real {
                return None;
            }
            let account = self.account(webhook.provider, &webhook.account)?;
            Some((place, account.webhook_url.clone()))
        })
    }
}

/// Sends what is due, one after the other, for ever.
pub(crate) async fn run(shared: Shared) {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .build();
    let Ok(client) = client else { return };
    loop {
        let next = {
            let mut world = shared.world();
            world.expire(shared.now());
            world.due(real_ms()).and_then(|(place, url)| {
                let id = world.outgoing[place].id.clone();
                let (body, headers) = world.signed(&id, shared.now())?;
                Some((place, url, body, headers))
            })
        };
        let Some((place, url, body, headers)) = next else {
            let _ = tokio::time::timeout(TICK, shared.0.due.notified()).await;
            continue;
        };
        let mut request = client.post(url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let status = request.send().await.map_or(0, |reply| reply.status().as_u16());
        let mut world = shared.world();
        let webhook = &mut world.outgoing[place];
        webhook.attempts.push(status);
        if (200..300).contains(&status) {
            webhook.state = WebhookState::Sent;
        } else {
            match PAUSES.get(webhook.attempts.len() - 1) {
                Some(pause) => webhook.due = real_ms() + pause,
                None => webhook.state = WebhookState::Failed,
            }
        }
        world.save();
    }
}

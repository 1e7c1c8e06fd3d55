//! /v1/provider-webhooks/{provider}/{orgId}: what payment providers tell. It verifies, stores and answers; what follows is
//! `payment-worker`'s.

use axum::extract::{FromRef, Request, State};
use gate::{Routes, Serve, routes};
use kernel::{OrgId, Origin};
use lambda::{App, Env, Function, Path, Problem, Result, Start, read_body};
use payments::{Till, event};
use providers::Provider;

/// The function.
pub const FUNCTION: Function = gate::function::<ProviderWebhooks>("provider-webhooks");

/// No provider sends as much.
const LONGEST: usize = 256 * 1024;

#[derive(Clone, FromRef)]
struct ProviderWebhooks {
    app: App,
    till: Till,
}

impl Start for ProviderWebhooks {
    async fn start(env: &Env, app: App) -> anyhow::Result<Self> {
        Ok(Self {
            till: Till::of(env, &app)?,
            app,
        })
    }
}

impl Serve for ProviderWebhooks {
    type State = Self;

    fn routes() -> Routes<Self> {
        // Whoever sends this proves it by a signature; a limit by address would refuse a provider that has much to tell.
        Routes::new().open(routes![take])
    }
}

/// Takes an event of a payment provider
///
/// For the provider alone: it is signed with the secret of the organization's account there, over the bytes as they are
/// sent. What is verified is stored and answered with 200, whatever it is about; its effects follow, from what the provider
/// says when it is asked then. 400, and nothing stored: `bad_signature`, `bad_signature_header`, `old_signature`,
/// `bad_event`. 404 where the organization has no account at the provider.
#[utoipa::path(post, path = "/v1/provider-webhooks/{provider}/{orgId}", operation_id = "take_provider_event", tag = "Payments",
    params(("provider" = Provider, Path, description = "The provider."),
        ("orgId" = OrgId, Path, description = "Whose account it is about.")),
    request_body(content = String, content_type = "application/json", description = "As the provider writes it."),
    responses((status = 200, description = "It is stored."), Problem))]
async fn take(
    State(app): State<App>,
    State(till): State<Till>,
    origin: Origin,
    Path(account): Path<(Provider, OrgId)>,
    request: Request,
) -> Result<()> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, LONGEST).await?;
    Ok(event::take(&app, &till, &origin, account, &parts.headers, &body).await?)
}

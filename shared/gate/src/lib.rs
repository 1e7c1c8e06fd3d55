//! Who gets in: the routes of a function in groups, each behind a guard that finds out who calls before a handler runs:
//! a person by their access token, a member by their organization too, a server by its API key. What they may do is the
//! policy's business.
//!
//! [`Routes`] are served, and described for `/docs`, from one list: what a guard wants is written into the description
//! by the guard, so it cannot differ. They are described without any state, and served without being described.
//!
//! A function is a type with [`Serve`]:
//!
//! ```ignore
//! pub const FUNCTION: Function = gate::function::<Projects>("projects");
//!
//! impl Serve for Projects {
//!     type State = Self;
//!
//!     fn routes() -> Routes<Self> {
//!         Routes::new().members(routes![create, list])
//!     }
//! }
//! ```
//!
//! # Known bounds
//!
//! What a process has read of a person's status, a session and an API key it believes for 30 seconds: so long what has ended
//! may work on. Whether somebody is a member, and as what, it reads each time.

mod describe;
mod gate;
mod metered;
mod once;
mod proved;
mod routes;

use anyhow::Result;
use axum::extract::FromRef;
use lambda::{App, Env, Function, Start};
use metering::Meter;

pub use gate::Gate;
pub use limits::Rates;
pub use metered::Metered;
#[doc(hidden)]
pub use pastey::paste;
pub use proved::{Proved, Proving};
pub use routes::{Route, Routes};

/// A function that serves HTTP.
pub trait Serve: 'static {
    /// What its handlers take parts of.
    type State: Start + Clone;

    /// Its routes.
    fn routes() -> Routes<Self::State>;
}

/// The function of this name that serves the routes of `F`.
pub const fn function<F: Serve>(name: &'static str) -> Function {
    Function::http(
        name,
        || F::routes().describe(),
        |env| {
            Box::pin(async move {
                let state = F::State::start(&env, env.app().await?).await?;
                Ok(F::routes().serve(&state))
            })
        },
    )
}

/// The state of a function that needs nothing but the app and who calls.
#[derive(Clone, Debug, FromRef)]
pub struct Guarded {
    app: App,
    gate: Gate,
}

impl Start for Guarded {
    async fn start(env: &Env, app: App) -> Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            app,
        })
    }
}

/// The state of a function for servers with API keys, whose calls are metered.
#[derive(Clone, Debug, FromRef)]
pub struct MeteredState {
    app: App,
    gate: Gate,
    meter: Meter,
}

impl Start for MeteredState {
    async fn start(env: &Env, app: App) -> Result<Self> {
        Ok(Self {
            gate: Gate::of(env, &app)?,
            meter: Meter::of(env, &app)?,
            app,
        })
    }
}

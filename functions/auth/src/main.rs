//! Serves registering, logging in and sessions.

use identity::{Bootstrap, Google, Guard, Issuer, Rates, ResetQueue};
use notifications::Desk;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| {
        let issuer = Issuer::from_env().await?;
        let guard = Guard::new(app, issuer.public_keys().clone(), Rates::from_env()?);
        let (bootstrap, google) = (Bootstrap::from_env()?, Google::from_env()?);
        let (desk, resets) = (Desk::from_env()?, ResetQueue::from_env()?);
        Ok(auth::routes(&guard, issuer, bootstrap, google, desk, resets))
    })
}

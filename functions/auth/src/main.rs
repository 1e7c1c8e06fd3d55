//! Serves registering, logging in and sessions.

use identity::{Bootstrap, Guard, Issuer, Rates};

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| {
        let issuer = Issuer::from_env().await?;
        let guard = Guard::new(app, issuer.public_keys().clone(), Rates::from_env()?);
        Ok(auth::routes(&guard, issuer, Bootstrap::from_env()?))
    })
}

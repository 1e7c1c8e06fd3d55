//! Serves the platform's users.

use identity::Guard;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(users::routes(&Guard::from_env(app)?)))
}

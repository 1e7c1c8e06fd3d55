//! Serves organizations and their members.

use identity::Guard;
use notifications::Desk;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(orgs::routes(&Guard::from_env(app)?, Desk::from_env()?)))
}

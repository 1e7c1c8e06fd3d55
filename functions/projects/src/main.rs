//! Serves projects and their API keys.

use identity::Guard;
use outbound::AllowList;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(projects::routes(&Guard::from_env(app)?, AllowList::from_env())))
}

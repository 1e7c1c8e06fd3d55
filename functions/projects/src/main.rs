//! Serves projects and their API keys.

use identity::Guard;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(projects::routes(&Guard::from_env(app)?)))
}

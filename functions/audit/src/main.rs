//! Serves the audit trail.

use identity::Guard;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(audit::routes(&Guard::from_env(app)?)))
}

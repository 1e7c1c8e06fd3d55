//! The Lambda `alerts`.

use alerting::Notices;
use identity::Guard;

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(alerts::routes(&Guard::from_env(app)?, Notices::from_env()?)))
}

//! The Lambda `metrics`.

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(metrics::routes(&identity::Guard::from_env(app)?)))
}

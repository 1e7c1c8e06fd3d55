//! The Lambda `events`.

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(events::routes(&identity::Guard::from_env(app)?)))
}

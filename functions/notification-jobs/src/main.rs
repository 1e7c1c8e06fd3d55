//! The Lambda `notification-jobs`.

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| Ok(notification_jobs::routes(&identity::Guard::from_env(app)?)))
}

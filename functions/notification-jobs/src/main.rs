//! The Lambda `notification-jobs`.

fn main() -> anyhow::Result<()> {
    lambda::run(notification_jobs::FUNCTION)
}

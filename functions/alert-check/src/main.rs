//! The Lambda `alert-check`.

fn main() -> anyhow::Result<()> {
    lambda::serve_schedule(|_| alert_check::AlertCheck::from_env())
}

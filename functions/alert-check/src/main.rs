//! The Lambda `alert-check`.

fn main() -> anyhow::Result<()> {
    lambda::run(alert_check::FUNCTION)
}

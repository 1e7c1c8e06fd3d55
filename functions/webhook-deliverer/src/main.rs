//! The Lambda `webhook-deliverer`.

fn main() -> anyhow::Result<()> {
    lambda::run(webhook_deliverer::FUNCTION)
}

//! The Lambda `webhooks`.

fn main() -> anyhow::Result<()> {
    lambda::run(webhooks::FUNCTION)
}

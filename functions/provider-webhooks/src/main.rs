//! The Lambda `provider-webhooks`.

fn main() -> anyhow::Result<()> {
    lambda::run(provider_webhooks::FUNCTION)
}

//! The Lambda `outbox-relay`.

fn main() -> anyhow::Result<()> {
    lambda::run(outbox_relay::FUNCTION)
}

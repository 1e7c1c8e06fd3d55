//! The Lambda `billing-worker`.

fn main() -> anyhow::Result<()> {
    lambda::run(billing_worker::FUNCTION)
}

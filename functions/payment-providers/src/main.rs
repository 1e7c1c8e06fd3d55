//! The Lambda `payment-providers`.

fn main() -> anyhow::Result<()> {
    lambda::run(payment_providers::FUNCTION)
}

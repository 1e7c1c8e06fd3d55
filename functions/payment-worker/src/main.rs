//! The Lambda `payment-worker`.

fn main() -> anyhow::Result<()> {
    lambda::run(payment_worker::FUNCTION)
}

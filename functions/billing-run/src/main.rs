//! The Lambda `billing-run`.

fn main() -> anyhow::Result<()> {
    lambda::run(billing_run::FUNCTION)
}

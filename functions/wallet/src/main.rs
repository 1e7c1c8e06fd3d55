//! The Lambda `wallet`.

fn main() -> anyhow::Result<()> {
    lambda::run(wallet::FUNCTION)
}

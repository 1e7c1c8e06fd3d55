//! The Lambda `contracts`.

fn main() -> anyhow::Result<()> {
    lambda::run(contracts::FUNCTION)
}

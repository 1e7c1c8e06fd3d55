//! The Lambda `pay`.

fn main() -> anyhow::Result<()> {
    lambda::run(pay::FUNCTION)
}

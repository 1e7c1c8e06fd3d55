//! The Lambda `notices`.

fn main() -> anyhow::Result<()> {
    lambda::run(notices::FUNCTION)
}

//! The Lambda `sweeper`.

fn main() -> anyhow::Result<()> {
    lambda::run(sweeper::FUNCTION)
}

//! The Lambda `health`.

fn main() -> anyhow::Result<()> {
    lambda::run(health::FUNCTION)
}

//! The Lambda `alerts`.

fn main() -> anyhow::Result<()> {
    lambda::run(alerts::FUNCTION)
}

//! The Lambda `metrics`.

fn main() -> anyhow::Result<()> {
    lambda::run(metrics::FUNCTION)
}

//! The Lambda `metrics`.

fn main() -> anyhow::Result<()> {
    lambda::serve(metrics::start)
}

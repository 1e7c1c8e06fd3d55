//! The Lambda `sweeper`.

fn main() -> anyhow::Result<()> {
    lambda::serve_schedule(sweeper::Sweeper::start)
}

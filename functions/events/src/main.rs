//! The Lambda `events`.

fn main() -> anyhow::Result<()> {
    lambda::run(events::FUNCTION)
}

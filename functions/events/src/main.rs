//! The Lambda `events`.

fn main() -> anyhow::Result<()> {
    lambda::serve(events::start)
}

//! The Lambda `event-writer`.

fn main() -> anyhow::Result<()> {
    lambda::run(event_writer::FUNCTION)
}

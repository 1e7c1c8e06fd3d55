//! The Lambda `event-writer`.

fn main() -> anyhow::Result<()> {
    lambda::serve_queue(event_writer::EventWriter::start)
}

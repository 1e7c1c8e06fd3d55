//! The Lambda `notifier`.

fn main() -> anyhow::Result<()> {
    lambda::serve_queue(notifier::Notifier::start)
}

//! The Lambda `notifier`.

fn main() -> anyhow::Result<()> {
    lambda::run(notifier::FUNCTION)
}

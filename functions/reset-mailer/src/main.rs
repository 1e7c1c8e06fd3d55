//! The Lambda `reset-mailer`.

fn main() -> anyhow::Result<()> {
    lambda::run(reset_mailer::FUNCTION)
}

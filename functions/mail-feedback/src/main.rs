//! The Lambda `mail-feedback`.

fn main() -> anyhow::Result<()> {
    lambda::run(mail_feedback::FUNCTION)
}

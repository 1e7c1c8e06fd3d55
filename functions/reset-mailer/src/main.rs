//! Mails tokens to who forgot their password.

fn main() -> anyhow::Result<()> {
    lambda::serve_queue(reset_mailer::ResetMailer::start)
}

//! The Lambda `audit`.

fn main() -> anyhow::Result<()> {
    lambda::run(audit::FUNCTION)
}

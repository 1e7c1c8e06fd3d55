//! The Lambda `auth`.

fn main() -> anyhow::Result<()> {
    lambda::run(auth::FUNCTION)
}

//! The Lambda `users`.

fn main() -> anyhow::Result<()> {
    lambda::run(users::FUNCTION)
}

//! The Lambda `usage-settler`.

fn main() -> anyhow::Result<()> {
    lambda::run(usage_settler::FUNCTION)
}

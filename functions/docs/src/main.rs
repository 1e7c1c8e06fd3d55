//! The Lambda `docs`.

fn main() -> anyhow::Result<()> {
    lambda::run(docs::FUNCTION)
}

//! The Lambda `docs`.

fn main() -> anyhow::Result<()> {
    lambda::serve(docs::start)
}

//! The Lambda `docs`.

fn main() -> anyhow::Result<()> {
    lambda::serve(async |_| Ok(docs::routes()))
}

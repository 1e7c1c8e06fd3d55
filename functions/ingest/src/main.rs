//! The Lambda `ingest`.

fn main() -> anyhow::Result<()> {
    lambda::run(ingest::FUNCTION)
}

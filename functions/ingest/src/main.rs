//! The Lambda `ingest`.

fn main() -> anyhow::Result<()> {
    lambda::serve(ingest::start)
}

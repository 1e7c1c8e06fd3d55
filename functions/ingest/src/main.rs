//! The Lambda `ingest`.

fn main() -> anyhow::Result<()> {
    lambda::serve(async |app| ingest::start(app))
}

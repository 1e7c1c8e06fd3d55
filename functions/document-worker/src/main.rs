//! The Lambda `document-worker`.

fn main() -> anyhow::Result<()> {
    lambda::run(document_worker::FUNCTION)
}

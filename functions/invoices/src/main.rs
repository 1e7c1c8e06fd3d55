//! The Lambda `invoices`.

fn main() -> anyhow::Result<()> {
    lambda::run(invoices::FUNCTION)
}

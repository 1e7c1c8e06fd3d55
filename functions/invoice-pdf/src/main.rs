//! The Lambda `invoice-pdf`.

fn main() -> anyhow::Result<()> {
    lambda::run(invoice_pdf::FUNCTION)
}

//! Stripe, Razorpay and Cashfree on one port of this machine; the library says more.

use std::io::Write as _;
use std::sync::Arc;

use clap::Parser;
use payment_double::{PaymentDouble, real_ms};

/// Answers as Stripe, Razorpay and Cashfree do, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Port on 127.0.0.1; a free one if not given.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let double = PaymentDouble::start_at(Arguments::parse().port, Arc::new(real_ms)).await?;
    writeln!(std::io::stdout(), "{}/_double", double.url())?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

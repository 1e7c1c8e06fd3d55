//! Serves the checks of load balancers and people.

fn main() -> anyhow::Result<()> {
    lambda::serve(async |_| Ok(health::routes()))
}

//! The Lambda `orgs`.

fn main() -> anyhow::Result<()> {
    lambda::run(orgs::FUNCTION)
}

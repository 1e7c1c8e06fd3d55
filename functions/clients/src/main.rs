//! The Lambda `clients`.

fn main() -> anyhow::Result<()> {
    lambda::run(clients::FUNCTION)
}

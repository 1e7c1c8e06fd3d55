//! The Lambda `admin`.

fn main() -> anyhow::Result<()> {
    lambda::run(admin::FUNCTION)
}

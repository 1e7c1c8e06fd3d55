//! The Lambda `projects`.

fn main() -> anyhow::Result<()> {
    lambda::run(projects::FUNCTION)
}

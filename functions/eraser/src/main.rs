//! The Lambda `eraser`.

fn main() -> anyhow::Result<()> {
    lambda::run(eraser::FUNCTION)
}

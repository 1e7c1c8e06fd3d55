//! The Lambda `alert-evaluator`.

fn main() -> anyhow::Result<()> {
    lambda::run(alert_evaluator::FUNCTION)
}

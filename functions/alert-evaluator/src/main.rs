//! The Lambda `alert-evaluator`.

fn main() -> anyhow::Result<()> {
    lambda::serve_queue(|_| alert_evaluator::AlertEvaluator::from_env())
}

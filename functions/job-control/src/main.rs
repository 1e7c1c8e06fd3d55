//! The Lambda `job-control`.

fn main() -> anyhow::Result<()> {
    lambda::run(job_control::FUNCTION)
}

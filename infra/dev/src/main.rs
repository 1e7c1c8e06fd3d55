//! Every function in one binary, for one machine: it links in the time that one function takes, and its processes share
//! their pages. AWS, and `cargo local up --separate`, run each function's own. Never deployed.

use anyhow::{Context, Result};
use lambda::Function;

/// Runs the function that the first argument names, or else `AWS_LAMBDA_FUNCTION_NAME`: `event-writer`, `EventWriter`.
fn main() -> Result<()> {
    let env = lambda::Env::of_process();
    let argument = std::env::args().nth(1);
    let name = match &argument {
        Some(name) => name,
        None => env.variable("AWS_LAMBDA_FUNCTION_NAME")?,
    };
    lambda::run(find(name).with_context(|| format!("there is no function {name:?}"))?)
}

fn find(name: &str) -> Option<Function> {
    let plain = |name: &str| name.replace('-', "").to_lowercase();
    docs::all().find(|function| plain(function.name()) == plain(name))
}

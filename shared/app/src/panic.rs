//! Outliving a panic: one bad record must not take with it what else is under way.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

/// Does `work`; the text of its panic if it panics. What `work` was changing may be half changed then: whoever calls this
/// throws it away, or has it in a table.
pub async fn survive<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|panic| text(panic.as_ref()))
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_goes_no_further() {
        let number = 7;
        assert_eq!(survive(async { 7 }).await, Ok(7));
        assert_eq!(
            survive(async { panic!("no {number}") }).await,
            Err::<(), _>("no 7".to_owned())
        );
        assert_eq!(survive(async { panic!("no") }).await, Err::<(), _>("no".to_owned()));
        let odd = async { std::panic::panic_any(number) };
        assert_eq!(survive(odd).await, Err::<(), _>("unknown".to_owned()));
    }
}

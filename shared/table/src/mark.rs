//! A mark that goes into the transaction of an effect, so that one who comes after a crash knows whether it happened.
//!
//! Who answers a request that must happen once runs it inside [`marking`]; who writes the effect adds [`mark`] to its
//! transaction. The mark's condition also keeps out a process that was thought dead: its effect comes too late.

use std::cell::Cell;

use kernel::Result;

use crate::Write;

tokio::task_local! {
    static MARK: Mark;
}

/// Makes the mark of what the effect is.
type Make = Box<dyn Fn(&str) -> Result<Write> + Send>;

struct Mark {
    write: Make,
    made: Cell<bool>,
}

/// Does `work`, whose first effect makes a mark too, or neither happens: `write` makes it of what the effect is. Tells
/// whether the mark was made.
pub async fn marking<T>(
    write: impl Fn(&str) -> Result<Write> + Send + 'static,
    work: impl Future<Output = T>,
) -> (T, bool) {
    let mark = Mark {
        write: Box::new(write),
        made: Cell::new(false),
    };
    let work = async {
        let done = work.await;
        (done, MARK.with(|mark| mark.made.get()))
    };
    MARK.scope(mark, work).await
}

/// The mark for a transaction whose effect is `effect`: none where nobody wants one, or it was made already.
pub fn mark(effect: &str) -> Result<Option<Write>> {
    let wanted = MARK.try_with(|mark| (!mark.made.get()).then(|| (mark.write)(effect)));
    wanted.ok().flatten().transpose()
}

/// Notes that the transaction with the mark was done.
pub fn marked() {
    // Where nobody wants a mark, there is nothing to note.
    let _ = MARK.try_with(|mark| mark.made.set(true));
}

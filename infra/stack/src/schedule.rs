//! Schedules: when they are due, and firing them on the test clock.
//!
//! A schedule that became due once or many times while nobody looked (a jump of the clock, a stopped stack) fires once.
//! A failed firing is logged and not repeated; the next one comes by itself.

mod firing;

pub use firing::{Firings, event, run};

//! What people are told: an inbox for each person in each organization.

mod item;

pub use item::{Item, ItemView};

//! What people are told, and how they want to be told it: an inbox for each person in each organization, their preferences, and
//! digests of what they do not want at once.
//!
//! | entity | key | what it is |
//! |---|---|---|
//! | item        | `ORG#<org>#READER#<user>` / `ITEM#<ntf>` | one thing that one person is told, for 90 days; in an index while it is not read |
//! | preferences | `ORG#<org>#READER#<user>` / `PREFERENCES` | by topic and way: at once, in a digest, or not; absent until somebody sets them |
//! | digest      | `ORG#<org>#READER#<user>` / `DIGEST#<topic>` | what waits to be mailed together, and until when |
//! | mark        | `ORG#<org>#READER#<user>` / `TOLD#<cause>` | that a person was told of a cause, for as long as that may be told again |
//!
//! Facts become news ([`news::of`]), news become items for the members who should know ([`Listener`]). Mails are made by whoever
//! has cause to; those about a topic are asked about here when they are about to be sent ([`mail::fate`]), so what a person wants
//! then counts.
//!
//! Invariants:
//! - A cause tells a person once, however often it is told itself: its mark is written with what follows from it.
//! - What waits for a digest is in it or in a later one, never in two: taking it out and making the mail is one transaction.
//! - No digest is empty, and each is due at one moment: whoever comes too early, twice or late finds nothing, or the same.
//! - Whoever has left, or may not log in, is told nothing any more, also of what waited ([`mail`], [`push`]).
//!
//! # Known bounds
//!
//! - An organization's members are told of a fact in one go, by a function of 30 s: with some thousands of members it begins again
//!   until it is given up.
//! - Whoever changes how they want messages to browsers gets what waits already at its old moment, but nothing once they are off.
//! - An alert that is mailed to an address without a member is mailed as it was made, also when whoever had it was erased while it
//!   waited for the end of quiet hours.

pub mod digest;
pub mod hours;
mod item;
mod listener;
pub mod mail;
mod mark;
pub mod news;
pub mod preferences;
pub mod push;
pub mod unsubscribe;

pub use item::{Item, ItemView, forget};
pub use listener::Listener;
pub use preferences::{Preferences, PreferencesInput, PreferencesView};

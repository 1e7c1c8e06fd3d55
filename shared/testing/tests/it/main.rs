//! The API tests: one binary, one in-memory stack a test.

mod auth;
mod bad_input;
mod event_writer;
mod events;
mod ingest;
mod metrics;
mod sessions;

//! The API tests: one binary, one in-memory stack a test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alert_checks;
mod alerts;
mod api_keys;
mod audit;
mod audit_export;
mod auth;
mod bad_input;
mod commits;
mod consumers;
mod cost;
mod coverage;
mod crash_points;
mod docs;
mod event_writer;
mod events;
mod fuzz;
mod google;
mod grants;
mod indexes;
mod ingest;
mod invitations;
mod jobs;
mod limits;
mod lost_replies;
mod metrics;
mod notices;
mod orgs;
mod origins;
mod outbox;
mod privileges;
mod projects;
mod recovery;
mod roles;
mod secrets;
mod sessions;
mod template;
mod tidy;
mod users;
mod whole_commits;

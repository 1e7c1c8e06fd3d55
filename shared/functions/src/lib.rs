//! The one list of functions. Whatever is to be done with every function (describing, testing, running one of them)
//! loops over it; a new function is one line here and one in the manifest beside it.

use lambda::Function;

/// Every function but `docs`, which describes these, and so depends on this list: see `docs::all`.
pub const ALL: &[Function] = &[
    alert_check::FUNCTION,
    alert_evaluator::FUNCTION,
    alerts::FUNCTION,
    audit::FUNCTION,
    auth::FUNCTION,
    event_writer::FUNCTION,
    events::FUNCTION,
    health::FUNCTION,
    ingest::FUNCTION,
    metrics::FUNCTION,
    notifier::FUNCTION,
    orgs::FUNCTION,
    outbox_relay::FUNCTION,
    projects::FUNCTION,
    reset_mailer::FUNCTION,
    sweeper::FUNCTION,
    users::FUNCTION,
    webhook_deliverer::FUNCTION,
];

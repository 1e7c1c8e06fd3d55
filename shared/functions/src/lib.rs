//! The one list of functions. Whatever is to be done with every function (describing, testing, running one of them)
//! loops over it; a new function is one line here and one in the manifest beside it.

use lambda::Function;

/// Every function but `docs`, which describes these, and so depends on this list: see `docs::all`.
pub const ALL: &[Function] = &[
    admin::FUNCTION,
    alert_check::FUNCTION,
    alert_evaluator::FUNCTION,
    alerts::FUNCTION,
    audit::FUNCTION,
    auth::FUNCTION,
    billing_run::FUNCTION,
    billing_worker::FUNCTION,
    clients::FUNCTION,
    contracts::FUNCTION,
    document_worker::FUNCTION,
    eraser::FUNCTION,
    event_writer::FUNCTION,
    events::FUNCTION,
    health::FUNCTION,
    ingest::FUNCTION,
    invoice_pdf::FUNCTION,
    invoices::FUNCTION,
    mail_feedback::FUNCTION,
    metrics::FUNCTION,
    notices::FUNCTION,
    notifier::FUNCTION,
    orgs::FUNCTION,
    outbox_relay::FUNCTION,
    payment_providers::FUNCTION,
    payment_worker::FUNCTION,
    pay::FUNCTION,
    projects::FUNCTION,
    provider_webhooks::FUNCTION,
    reset_mailer::FUNCTION,
    sweeper::FUNCTION,
    usage_settler::FUNCTION,
    users::FUNCTION,
    wallet::FUNCTION,
    webhook_deliverer::FUNCTION,
    webhooks::FUNCTION,
];

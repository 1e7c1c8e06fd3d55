//! What every part of Countinghouse agrees on: ids, time and calendar, money, errors, field rules, and who may do what.
//!
//! Never talks to AWS, never waits, never reads the clock: time and randomness are passed in or come from the
//! operating system's generator.

pub mod address;
pub mod calendar;
pub mod check;
pub mod color;
pub mod error;
pub mod id;
pub mod link;
pub mod mailbox;
pub mod money;
mod network;
pub mod number;
pub mod origin;
pub mod policy;
pub mod problem;
mod refusal;
pub mod resource;
pub mod scope;
pub mod seal;
pub mod time;

pub use address::Address;
pub use calendar::{Day, TimeOfDay, Zone};
pub use check::{Check, Input};
pub use color::Color;
pub use error::{Error, FieldProblem, Result};
pub use id::{
    AlertId, ApiKeyId, AuditId, ClientId, ContractId, CouponId, CreditGrantId, CreditNoteId, EventId, FactorId,
    GrantId, IncidentId, InvitationId, InvoiceId, JobId, LeaseId, LedgerEntryId, MessageId, NotificationId, OrgId,
    PaymentId, PlanId, ProjectId, PushSubscriptionId, RecurringInvoiceId, RefundId, SessionId, SubscriptionId, UserId,
    WebhookId,
};
pub use money::{Currency, Minor, Money};
pub use network::Network;
pub use number::Rate;
pub use origin::{Anchor, Origin};
pub use policy::{KeyScope, OrgRole, PlatformRole};
pub use problem::{Problem, ProblemDetails};
pub use resource::{Resource, ResourceType};
pub use scope::{Actor, Caller, OrgOrPlatform, OrgWide, Permission, ResourceRole, Scope};
pub use time::Time;

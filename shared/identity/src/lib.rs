//! People, organizations, projects and API keys: who they are, and whether they are good.
//!
//! Entities: a user has a login (by password, or by a provider such as Google) and sessions; an organization has members,
//! who are users with a role, and may have grants: other roles in single resources of it; it has invitations, which make members
//! of people who prove their address by them; it has projects, which have API keys.
//!
//! Invariants: an email belongs to one user for each way to log in; passwords and refresh tokens are stored as hashes
//! only, an API key and a token in a mail as its SHA-256, an app's secret sealed; who has a factor gets no session without it; a refresh token has one successor; a token in a mail is spent
//! once; an organization always has an owner; whatever a person changes is noted in the audit trail in the same
//! transaction.
//!
//! Each entity's keys and queries are in its `store`.
//!
//! # Known bounds
//!
//! - What organizations wrote about somebody who was erased (an invitation for a week, where an alert is mailed) is theirs, and
//!   stays with them: `docs/erasure.md`.
//! - A domain in its letters and the same in ASCII (`xn--…`) are one to the mail service and two addresses here.
//! - Whose address it is who logs in by a provider alone is found among an organization's members by reading them all.

mod accepted;
pub mod account;
mod anew;
pub mod api_key;
pub mod bootstrap;
mod devices;
pub mod entrance;
pub mod erasure;
pub mod export;
pub mod factor;
mod failures;
pub mod grant;
pub mod invitation;
mod mailed;
pub mod member;
pub mod oidc;
pub mod org;
pub mod password;
pub mod postage;
pub mod project;
pub mod quota;
pub mod recovery;
pub mod session;
mod ticket;
pub mod token;
pub mod user;

pub use accepted::Accepted;
pub use api_key::ApiKey;
pub use bootstrap::Bootstrap;
pub use grant::Grant;
pub use invitation::Invitation;
pub use member::Member;
pub use oidc::Google;
pub use org::Org;
pub use project::Project;
pub use quota::Quotas;
pub use session::Session;
pub use token::{Issuer, PublicKeys};
pub use user::{User, UserView};

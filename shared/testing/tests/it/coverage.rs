//! Every operation of the API against the authorization policy: who must not get in, does not. A new operation fails
//! this test until it has a row in [`WHO`].

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use kernel::policy::{Audience, POLICY};
use kernel::{OrgRole, PlatformRole};
use serde_json::{Value, json};
use testing::{Client, Person, RATES, Rates, Reply, Tenant, TestApp};

/// The operation needs no permission.
const PUBLIC: &str = "public";

/// Who may call what: the name of the permission, or [`PUBLIC`].
#[rustfmt::skip]
pub(crate) const WHO: &[(&str, &str, &str)] = &[
    ("GET",    "/health",                                               PUBLIC),
    ("GET",    "/ready",                                                PUBLIC),
    ("GET",    "/docs",                                                 PUBLIC),
    ("GET",    "/docs/json",                                            PUBLIC),
    ("GET",    "/docs/{file}",                                          PUBLIC),
    ("GET",    "/.well-known/jwks.json",                                PUBLIC),

    ("POST",   "/v1/auth/register",                                     PUBLIC),
    ("POST",   "/v1/auth/login",                                        PUBLIC),
    ("POST",   "/v1/auth/login/factor",                                 PUBLIC),
    ("POST",   "/v1/auth/login/passkey",                                PUBLIC),
    ("POST",   "/v1/auth/refresh",                                      PUBLIC),
    ("POST",   "/v1/auth/logout",                                       PUBLIC),
    ("GET",    "/v1/auth/google",                                       PUBLIC),
    ("GET",    "/v1/auth/google/callback",                              PUBLIC),
    ("POST",   "/v1/auth/password/forgot",                              PUBLIC),
    ("POST",   "/v1/auth/password/reset",                               PUBLIC),
    ("POST",   "/v1/auth/password/change",                              "ManageOwnAccount"),
    ("POST",   "/v1/auth/email/verify",                                 PUBLIC),
    ("POST",   "/v1/auth/email/resend",                                 "ManageOwnAccount"),
    ("GET",    "/v1/auth/me",                                           "ManageOwnAccount"),
    ("GET",    "/v1/auth/sessions",                                     "ManageOwnAccount"),
    ("DELETE", "/v1/auth/sessions/{id}",                                "ManageOwnAccount"),
    ("GET",    "/v1/auth/export",                                       "ManageOwnAccount"),
    ("POST",   "/v1/auth/erasure",                                      "ManageOwnAccount"),

    ("GET",    "/v1/auth/factors",                                      "ManageOwnAccount"),
    ("POST",   "/v1/auth/factors/totp",                                 "ManageOwnAccount"),
    ("POST",   "/v1/auth/factors/passkey",                              "ManageOwnAccount"),
    ("POST",   "/v1/auth/factors/recovery-codes",                       "ManageOwnAccount"),
    ("POST",   "/v1/auth/factors/{id}/confirm",                         "ManageOwnAccount"),
    ("DELETE", "/v1/auth/factors/{id}",                                 "ManageOwnAccount"),

    ("POST",   "/v1/auth/step-up",                                      "ManageOwnAccount"),
    ("POST",   "/v1/auth/step-up/passkey",                              "ManageOwnAccount"),

    ("GET",    "/v1/users",                                             "ManageUsers"),
    ("PATCH",  "/v1/users/{id}/role",                                   "ManageUsers"),
    ("DELETE", "/v1/users/{id}",                                        "ManageUsers"),
    ("PATCH",  "/v1/users/{id}/reactivate",                             "ManageUsers"),
    ("DELETE", "/v1/users/{id}/sessions",                               "EndSessions"),
    ("POST",   "/v1/users/{id}/erasure",                                "ErasePeople"),
    ("DELETE", "/v1/users/{id}/factors",                                "ResetFactors"),
    ("GET",    "/v1/audit",                                             "ReadPlatformAudit"),
    ("GET",    "/v1/audit/export",                                      "ReadPlatformAudit"),

    ("GET",    "/v1/admin/prices",                                      "ManagePrices"),
    ("PUT",    "/v1/admin/prices",                                      "ManagePrices"),
    ("POST",   "/v1/admin/orgs/{orgId}/credits",                        "GrantCredits"),
    ("GET",    "/v1/admin/orgs/{orgId}/quotas",                         "ManageQuotas"),
    ("PATCH",  "/v1/admin/orgs/{orgId}/quotas",                         "ManageQuotas"),
    ("GET",    "/v1/admin/stats",                                       "ReadStats"),
    ("GET",    "/v1/admin/events",                                      "SearchAllEvents"),

    // Without an organization what is everybody's: see [`ON_THE_PLATFORM`].
    ("GET",    "/v1/jobs",                                              "ReadJobs"),
    ("GET",    "/v1/jobs/{id}",                                         "ReadJobs"),
    ("POST",   "/v1/jobs/{id}/retry",                                   "ManageJobs"),
    ("POST",   "/v1/jobs/{id}/cancel",                                  "ManageJobs"),
    ("POST",   "/v1/jobs/redrive",                                      "ManageJobs"),

    ("POST",   "/v1/orgs",                                              "CreateOrg"),
    ("GET",    "/v1/orgs",                                              "ListOwnOrgs"),
    ("GET",    "/v1/orgs/{orgId}",                                      "ReadOrg"),
    ("PATCH",  "/v1/orgs/{orgId}",                                      "UpdateOrg"),
    ("DELETE", "/v1/orgs/{orgId}",                                      "DeleteOrg"),
    ("GET",    "/v1/orgs/{orgId}/members",                              "ReadMembers"),
    ("POST",   "/v1/orgs/{orgId}/members",                              "ManageMembers"),
    ("PATCH",  "/v1/orgs/{orgId}/members/{userId}",                     "ManageMembers"),
    // Leaving; taking somebody else out needs `ManageMembers` too, which roles.rs tries.
    ("DELETE", "/v1/orgs/{orgId}/members/{userId}",                     "LeaveOrg"),
    ("GET",    "/v1/orgs/{orgId}/invitations",                          "ManageMembers"),
    ("DELETE", "/v1/orgs/{orgId}/invitations/{invitationId}",           "ManageMembers"),
    ("POST",   "/v1/orgs/invitations/accept",                           "AcceptInvitations"),
    ("GET",    "/v1/orgs/{orgId}/grants",                               "ManageGrants"),
    ("POST",   "/v1/orgs/{orgId}/grants",                               "ManageGrants"),
    ("DELETE", "/v1/orgs/{orgId}/grants/{grantId}",                     "ManageGrants"),
    ("GET",    "/v1/orgs/{orgId}/audit",                                "ReadOrgAudit"),
    ("GET",    "/v1/orgs/{orgId}/audit/export",                         "ReadOrgAudit"),

    ("GET",    "/v1/projects",                                          "ReadProjects"),
    ("POST",   "/v1/projects",                                          "CreateProjects"),
    ("GET",    "/v1/projects/{projectId}",                              "ReadProjects"),
    ("PATCH",  "/v1/projects/{projectId}",                              "WriteProjects"),
    ("DELETE", "/v1/projects/{projectId}",                              "DeleteProjects"),
    ("GET",    "/v1/projects/{projectId}/api-keys",                     "ReadApiKeys"),
    ("POST",   "/v1/projects/{projectId}/api-keys",                     "ManageApiKeys"),
    ("GET",    "/v1/projects/{projectId}/api-keys/{keyId}",             "ReadApiKeys"),
    ("PATCH",  "/v1/projects/{projectId}/api-keys/{keyId}",             "ManageApiKeys"),
    ("DELETE", "/v1/projects/{projectId}/api-keys/{keyId}",             "ManageApiKeys"),
    ("POST",   "/v1/projects/{projectId}/api-keys/{keyId}/rotate",      "ManageApiKeys"),

    ("POST",   "/v1/ingest/event",                                      "IngestEvents"),
    ("POST",   "/v1/ingest/events",                                     "IngestEvents"),
    ("GET",    "/v1/metrics/overview",                                  "ReadMetrics"),
    ("GET",    "/v1/metrics/events/timeseries",                         "ReadMetrics"),
    ("GET",    "/v1/metrics/errors/top",                                "ReadMetrics"),
    ("GET",    "/v1/events",                                            "ReadEvents"),
    ("GET",    "/v1/events/{eventId}",                                  "ReadEvents"),

    ("GET",    "/v1/wallet",                                            "ReadWallet"),
    ("GET",    "/v1/wallet/ledger",                                     "ReadWallet"),
    ("GET",    "/v1/wallet/grants",                                     "ReadWallet"),
    ("GET",    "/v1/wallet/topups",                                     "ReadWallet"),
    ("POST",   "/v1/wallet/topups",                                     "TopUpWallet"),
    ("GET",    "/v1/wallet/auto-topup",                                 "ReadWallet"),
    ("PUT",    "/v1/wallet/auto-topup",                                 "TopUpWallet"),
    ("DELETE", "/v1/wallet/auto-topup",                                 "TopUpWallet"),
    ("GET",    "/v1/usage",                                             "ReadWallet"),
    ("GET",    "/v1/entitlements",                                      "ReadWallet"),

    ("GET",   "/v1/clients",                                               "ReadBilling"),
    ("POST",  "/v1/clients",                                               "ManageBilling"),
    ("GET",   "/v1/clients/search",                                        "ReadBilling"),
    ("GET",   "/v1/clients/{id}",                                          "ReadBilling"),
    ("PATCH", "/v1/clients/{id}",                                          "ManageBilling"),
    ("DELETE","/v1/clients/{id}",                                          "ManageBilling"),
    ("GET",   "/v1/clients/{id}/statement",                                "ReadBilling"),
    ("GET",   "/v1/clients/{id}/entitlements",                             "ReadBilling"),
    ("GET",   "/v1/plans",                                                 "ReadBilling"),
    ("POST",  "/v1/plans",                                                 "ManageBilling"),
    ("GET",   "/v1/plans/{id}",                                            "ReadBilling"),
    ("PATCH", "/v1/plans/{id}",                                            "ManageBilling"),
    ("DELETE","/v1/plans/{id}",                                            "ManageBilling"),
    ("GET",   "/v1/coupons",                                               "ReadBilling"),
    ("POST",  "/v1/coupons",                                               "ManageBilling"),
    ("GET",   "/v1/coupons/{id}",                                          "ReadBilling"),
    ("DELETE","/v1/coupons/{id}",                                          "ManageBilling"),
    ("GET",   "/v1/contracts",                                             "ReadBilling"),
    ("POST",  "/v1/contracts",                                             "ManageBilling"),
    ("GET",   "/v1/contracts/{id}",                                        "ReadBilling"),
    ("PATCH", "/v1/contracts/{id}",                                        "ManageBilling"),
    ("POST",  "/v1/contracts/{id}/activate",                               "ManageBilling"),
    ("POST",  "/v1/contracts/{id}/suspend",                                "ManageBilling"),
    ("POST",  "/v1/contracts/{id}/resume",                                 "ManageBilling"),
    ("POST",  "/v1/contracts/{id}/terminate",                              "ManageBilling"),
    ("GET",   "/v1/subscriptions",                                         "ReadBilling"),
    ("POST",  "/v1/subscriptions",                                         "ManageBilling"),
    ("GET",   "/v1/subscriptions/{id}",                                    "ReadBilling"),
    ("POST",  "/v1/subscriptions/{id}/pause",                              "ManageBilling"),
    ("POST",  "/v1/subscriptions/{id}/resume",                             "ManageBilling"),
    ("POST",  "/v1/subscriptions/{id}/change-plan",                        "ManageBilling"),
    ("POST",  "/v1/subscriptions/{id}/cancel",                             "ManageBilling"),

    ("GET",    "/v1/alerts",                                            "ReadAlerts"),
    ("POST",   "/v1/alerts",                                            "ManageAlerts"),
    ("GET",    "/v1/alerts/{id}",                                       "ReadAlerts"),
    ("PATCH",  "/v1/alerts/{id}",                                       "ManageAlerts"),
    ("DELETE", "/v1/alerts/{id}",                                       "ManageAlerts"),
    ("GET",    "/v1/alerts/{id}/incidents",                             "ReadAlerts"),
    ("GET",    "/v1/webhook-subscriptions",                             "ReadWebhooks"),
    ("POST",   "/v1/webhook-subscriptions",                             "ManageWebhooks"),
    ("GET",    "/v1/webhook-subscriptions/{id}",                        "ReadWebhooks"),
    ("PATCH",  "/v1/webhook-subscriptions/{id}",                        "ManageWebhooks"),
    ("DELETE", "/v1/webhook-subscriptions/{id}",                        "ManageWebhooks"),
    ("POST",   "/v1/webhook-subscriptions/{id}/rotate-secret",          "ManageWebhooks"),
    ("POST",   "/v1/webhook-subscriptions/{id}/test",                   "ManageWebhooks"),
    ("GET",    "/v1/webhook-subscriptions/{id}/deliveries",             "ReadWebhooks"),
    ("POST",   "/v1/webhook-subscriptions/{id}/deliveries/{deliveryId}/replay", "ManageWebhooks"),
    ("POST",   "/v1/webhook-subscriptions/{id}/replay",                 "ManageWebhooks"),
    ("GET",    "/v1/webhook-events",                                    "ReadWebhooks"),
    ("GET",    "/v1/notification-jobs",                                 "ReadAlerts"),

    ("GET",    "/pay/{token}",                                          PUBLIC),
    ("POST",   "/pay/{token}",                                          PUBLIC),
    ("GET",    "/pay/{token}/pdf",                                      PUBLIC),
    ("GET",    "/pay/{token}/xml",                                      PUBLIC),
    ("GET",    "/v1/invoices",                                          "ReadBilling"),
    ("POST",   "/v1/invoices",                                          "ManageBilling"),
    ("GET",    "/v1/invoices/{id}",                                     "ReadBilling"),
    ("PATCH",  "/v1/invoices/{id}",                                     "ManageBilling"),
    ("DELETE", "/v1/invoices/{id}",                                     "ManageBilling"),
    ("POST",   "/v1/invoices/{id}/send",                                "ManageBilling"),
    ("POST",   "/v1/invoices/{id}/cancel",                              "ManageBilling"),
    ("POST",   "/v1/invoices/{id}/viewed",                              "ManageBilling"),
    ("GET",    "/v1/invoices/{id}/credit-notes",                        "ReadBilling"),
    ("POST",   "/v1/invoices/{id}/credit-notes",                        "ManageBilling"),
    ("GET",    "/v1/invoices/{id}/pdf",                                 "ReadBilling"),
    ("GET",    "/v1/invoices/{id}/xml",                                 "ReadBilling"),
    ("GET",    "/v1/credit-notes",                                      "ReadBilling"),
    ("GET",    "/v1/credit-notes/{id}",                                 "ReadBilling"),
    ("GET",    "/v1/credit-notes/{id}/pdf",                             "ReadBilling"),
    ("GET",    "/v1/credit-notes/{id}/xml",                             "ReadBilling"),
    ("GET",    "/v1/invoices/{id}/payments",                            "ReadBilling"),
    ("POST",   "/v1/invoices/{id}/payments",                            "ManageBilling"),
    ("GET",    "/v1/payments",                                          "ReadBilling"),
    ("GET",    "/v1/payments/{id}",                                     "ReadBilling"),
    ("POST",   "/v1/payments/{id}/refund",                              "ManageBilling"),
    ("POST",   "/v1/payments/{id}/partial-refund",                      "ManageBilling"),
    ("POST",   "/v1/provider-webhooks/{provider}/{orgId}",               PUBLIC),
    ("GET",    "/v1/payment-reconciliations",                           "ReadBilling"),
    ("GET",    "/v1/payment-providers",                                 "ReadBilling"),
    ("GET",    "/v1/payment-providers/{provider}",                      "ReadBilling"),
    ("PUT",    "/v1/payment-providers/{provider}",                      "ManageProviders"),
    ("DELETE", "/v1/payment-providers/{provider}",                      "ManageProviders"),
    ("POST",   "/v1/invoices/{id}/pay",                                 "ManageBilling"),
    ("GET",    "/v1/recurring-invoices",                                "ReadBilling"),
    ("POST",   "/v1/recurring-invoices",                                "ManageBilling"),
    ("GET",    "/v1/recurring-invoices/{id}",                           "ReadBilling"),
    ("POST",   "/v1/recurring-invoices/{id}/pause",                     "ManageBilling"),
    ("POST",   "/v1/recurring-invoices/{id}/resume",                    "ManageBilling"),
    ("POST",   "/v1/recurring-invoices/{id}/cancel",                    "ManageBilling"),
    ("GET",    "/v1/notifications",                                     "ReadNotifications"),
    ("POST",   "/v1/notifications/{id}/read",                           "ManageNotifications"),
    ("GET",    "/v1/push/key",                                          PUBLIC),
    ("GET",    "/v1/push/subscriptions",                                "ManageOwnAccount"),
    ("POST",   "/v1/push/subscriptions",                                "ManageOwnAccount"),
    ("DELETE", "/v1/push/subscriptions/{id}",                           "ManageOwnAccount"),
    ("POST",   "/v1/email-suppressions/{address}/reenable",             "ManageOwnAccount"),
    ("GET",    "/v1/notification-preferences",                          "ReadNotifications"),
    ("PUT",    "/v1/notification-preferences",                          "ManageNotifications"),
    ("GET",    "/v1/unsubscribe/{token}",                               PUBLIC),
    ("POST",   "/v1/unsubscribe/{token}",                               PUBLIC),
    ("GET",    "/v1/analytics/revenue",                                 "ReadBilling"),
    ("GET",    "/v1/analytics/invoices",                                "ReadBilling"),
    ("GET",    "/v1/analytics/mrr",                                     "ReadBilling"),
];

/// What a permission within an organization is outside of any, where an operation is for both.
const ON_THE_PLATFORM: [(&str, &str); 2] = [("ReadJobs", "ReadAllJobs"), ("ManageJobs", "ManageAllJobs")];

/// An operation of the API, as it is documented.
struct Operation {
    method: String,
    path: String,
    documented: Value,
}

fn operations() -> Vec<Operation> {
    let api = serde_json::to_value(docs::openapi()).unwrap();
    let mut found = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, documented) in methods.as_object().unwrap() {
            let (method, path) = (method.to_uppercase(), path.clone());
            found.push(Operation {
                method,
                path,
                documented: documented.clone(),
            });
        }
    }
    found
}

/// What stands for the id in a path, by what the path is about.
fn id_in(path: &str, app: &TestApp, tenant: &Tenant) -> String {
    if path.contains("/sessions/") {
        kernel::SessionId::new(app.now()).to_string()
    } else if path.contains("/auth/factors/") {
        kernel::FactorId::new(app.now()).to_string()
    } else if path.contains("/jobs/") {
        kernel::JobId::new(app.now()).to_string()
    } else if path.contains("/clients/") {
        kernel::ClientId::new(app.now()).to_string()
    } else if path.contains("/plans/") {
        kernel::PlanId::new(app.now()).to_string()
    } else if path.contains("/coupons/") {
        kernel::CouponId::new(app.now()).to_string()
    } else if path.contains("/contracts/") {
        kernel::ContractId::new(app.now()).to_string()
    } else if path.contains("/push/") {
        kernel::PushSubscriptionId::new(app.now()).to_string()
    } else if path.contains("/subscriptions/") {
        kernel::SubscriptionId::new(app.now()).to_string()
    } else if path.contains("/notifications/") {
        kernel::NotificationId::new(app.now()).to_string()
    } else if path.contains("/alerts/") {
        kernel::AlertId::new(app.now()).to_string()
    } else if path.contains("/recurring-invoices/") {
        kernel::RecurringInvoiceId::new(app.now()).to_string()
    } else if path.contains("/credit-notes/") {
        kernel::CreditNoteId::new(app.now()).to_string()
    } else if path.contains("/payments/") {
        kernel::PaymentId::new(app.now()).to_string()
    } else if path.contains("/invoices/") {
        kernel::InvoiceId::new(app.now()).to_string()
    } else {
        tenant.owner.id.clone()
    }
}

impl Operation {
    /// The permission by [`WHO`]; nothing if it is public.
    fn grant(&self) -> Option<Audience> {
        let row = WHO
            .iter()
            .find(|(method, path, _)| *method == self.method && *path == self.path);
        let (_, _, who) = row.unwrap_or_else(|| panic!("{} has no row in WHO", self.name()));
        let permission = POLICY.iter().find(|(name, _)| name == who);
        assert!(
            *who == PUBLIC || permission.is_some(),
            "the policy has no permission {who}"
        );
        permission.map(|(_, grant)| *grant)
    }

    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The path and query with ids of `tenant`, all of which exist.
    fn path_in(&self, app: &TestApp, tenant: &Tenant) -> String {
        let mut path = self.path.clone();
        let person = id_in(&path, app, tenant);
        let event = kernel::EventId::new(app.now()).to_string();
        let grant = kernel::GrantId::new(app.now()).to_string();
        let invitation = kernel::InvitationId::new(app.now()).to_string();
        let delivery = kernel::JobId::new(app.now()).to_string();
        for (name, id) in [
            ("{orgId}", &tenant.org),
            ("{projectId}", &tenant.project),
            ("{keyId}", &tenant.key_id),
            ("{userId}", &tenant.owner.id),
            ("{id}", &person),
            ("{eventId}", &event),
            ("{grantId}", &grant),
            ("{invitationId}", &invitation),
            ("{deliveryId}", &delivery),
            ("{file}", &"index.css".to_owned()),
            ("{provider}", &"stripe".to_owned()),
            ("{token}", &"none".to_owned()),
            ("{address}", &"nobody@example.com".to_owned()),
        ] {
            path = path.replace(name, id);
        }
        assert!(!path.contains('{'), "say what stands for the ids in {path}");
        let parameters = self.documented["parameters"].as_array().into_iter().flatten();
        let required = parameters.filter(|one| one["in"] == "query" && one["required"] == true);
        let query: Vec<String> = required
            .map(|one| match one["name"].as_str() {
                Some("projectId") => format!("projectId={}", tenant.project),
                Some("userId") => format!("userId={}", tenant.owner.id),
                Some("alertId") => format!("alertId={}", kernel::AlertId::new(app.now())),
                Some("state") => "state=unknown".to_owned(),
                Some("q") => "q=acme".to_owned(),
                other => panic!("say what stands for the query parameter {other:?} of {}", self.name()),
            })
            .collect();
        if query.is_empty() {
            path
        } else {
            format!("{path}?{}", query.join("&"))
        }
    }

    async fn call(&self, client: &Client, path: &str) -> Reply {
        let body = if self.method == "GET" {
            Vec::new()
        } else {
            b"{}".to_vec()
        };
        let client = client.header("content-type", "application/json");
        let reply = client.send(self.method.parse().unwrap(), path, body).await;
        let status = reply.status.as_u16().to_string();
        assert!(
            self.documented["responses"][&status].is_object(),
            "{} does not document {status}",
            self.name()
        );
        reply
    }

    /// Wants a certain refusal.
    async fn refuses(&self, client: &Client, path: &str, status: u16, who: &str) {
        let reply = self.call(client, path).await;
        assert_eq!(reply.status, status, "{} for {who}: {}", self.name(), reply.json);
        assert!(
            reply.json["detail"] != "there is no such route",
            "{}: no function serves it",
            self.name()
        );
    }
}

/// Headers that replies of limited operations have.
const LIMITS: [&str; 2] = ["RateLimit-Policy", "RateLimit"];

impl Operation {
    /// Whether its replies are said to tell what is left of the caller's limits: all that succeed and 429, or none.
    fn is_limited(&self) -> bool {
        let responses = &self.documented["responses"];
        let told = |status: &str, names: &[&str]| {
            let told = |name: &&str| responses[status]["headers"][*name].is_object();
            let count = names.iter().filter(|name| told(name)).count();
            assert!(count == 0 || count == names.len(), "{} {status}", self.name());
            count > 0
        };
        let refusal = told("429", &[LIMITS[0], LIMITS[1], "Retry-After"]);
        let statuses = responses.as_object().unwrap().keys();
        for status in statuses.filter(|status| status.starts_with(['2', '3'])) {
            assert_eq!(told(status, &LIMITS), refusal, "{} {status}", self.name());
        }
        refusal
    }
}

/// Each operation is called by who gets past its guards, and changes nothing: bodies are empty, and a viewer may not.
#[tokio::test]
async fn replies_tell_of_limits_where_the_description_says_so() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let viewer = app.member(&acme, "viewer").await;
    let mut limited = 0;
    for operation in operations() {
        let client = match operation.grant() {
            None => app.client(),
            Some(Audience::ApiKey(_)) => acme.server.clone(),
            Some(_) => viewer.client.clone(),
        };
        let documented = operation.is_limited();
        let reply = operation.call(&client, &operation.path_in(&app, &acme)).await;
        assert!(
            reply.status != 401 || operation.grant().is_none(),
            "{}",
            operation.name()
        );
        for name in LIMITS {
            let told = !reply.header(name).is_empty();
            assert_eq!(told, documented, "{} {name}: {}", operation.name(), reply.json);
        }
        limited += usize::from(documented);
    }
    assert!(limited > 40, "{limited}");
}

/// A method that an address does not take is refused as such, whichever function the gateway gives it to.
#[tokio::test]
async fn methods_that_no_operation_has_are_refused_as_such() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for operation in operations() {
        let path = operation.path_in(&app, &acme);
        let reply = acme.client.send(Method::TRACE, &path, Vec::new()).await;
        assert_eq!(reply.status, 405, "{}: {}", operation.path, reply.json);
        reply.problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn every_limited_operation_refuses_and_says_when_to_call_again() {
    let rates = Rates {
        per_tenant: 40,
        per_address: 40,
        per_visitor: 40,
        per_person: 40,
        per_stranger: 40,
        ..RATES
    };
    let app = TestApp::start_with(rates, 1).await;
    let acme = app.tenant().await;
    for _ in 0..41 {
        acme.client.get("/v1/projects").await;
        app.client().post("/v1/auth/login", json!({})).await;
        app.client().get("/pay/none").await;
        acme.server.post("/v1/ingest/events", json!({})).await;
        acme.client.get("/v1/auth/me").await;
        app.client().post("/v1/auth/refresh", json!({})).await;
    }
    for operation in operations().iter().filter(|operation| operation.is_limited()) {
        let client = match operation.grant() {
            None => app.client(),
            Some(Audience::ApiKey(_)) => acme.server.clone(),
            Some(_) => acme.client.clone(),
        };
        let reply = operation.call(&client, &operation.path_in(&app, &acme)).await;
        assert_eq!(reply.status, 429, "{}: {}", operation.name(), reply.json);
        assert_eq!(reply.header("retry-after"), "60", "{}", operation.name());
        assert!(reply.header("ratelimit").ends_with(";r=0;t=60"), "{}", operation.name());
    }
}

#[test]
fn every_operation_has_one_row_and_every_permission_is_used() {
    let documented: BTreeSet<(String, String)> = operations().into_iter().map(|one| (one.method, one.path)).collect();
    let rows = WHO
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
    assert_eq!(rows.clone().collect::<BTreeSet<_>>(), documented);
    assert_eq!(rows.count(), documented.len(), "a row stands twice");

    let used: BTreeSet<&str> = WHO
        .iter()
        .map(|(_, _, who)| *who)
        .filter(|who| *who != PUBLIC)
        .chain(ON_THE_PLATFORM.map(|(_, who)| who))
        .collect();
    let policy: BTreeSet<&str> = POLICY.iter().map(|(name, _)| *name).collect();
    assert_eq!(used, policy);
}

/// Callers whose credentials prove nothing.
fn nobodies(app: &TestApp, tenant: &Tenant, expired: &Person) -> Vec<(&'static str, Client)> {
    let client = app.client().within(&tenant.org);
    let (user, session) = (tenant.owner.id.parse().unwrap(), kernel::SessionId::new(app.now()));
    let forged = identity::Issuer::of_new_key(testing::PUBLIC_URL)
        .unwrap()
        .issue(app.now(), user, session)
        .unwrap();
    vec![
        ("nobody", client.clone()),
        ("garbage", client.bearer("garbage")),
        ("a forger", client.bearer(forged)),
        ("an expired token", client.bearer(&expired.access_token)),
        ("a refresh token", client.bearer(&tenant.owner.refresh_token)),
        ("an API key as a token", client.bearer(&tenant.key)),
        (
            "another scheme",
            client.header("authorization", format!("Basic {}", tenant.owner.access_token)),
        ),
    ]
}

#[tokio::test]
async fn nobody_gets_in_where_the_policy_does_not_let_them() {
    let app = TestApp::start().await;
    let expired = app.person().await;
    app.advance(901_000);
    let [acme, rival] = app.tenants().await;
    let mut members: BTreeMap<&str, Person> = BTreeMap::new();
    for role in ["admin", "accountant", "member", "viewer"] {
        members.insert(role, app.member(&acme, role).await);
    }
    let manager = app.manager().await;
    let admin = app.proved_person().await;
    manager
        .client
        .patch(format!("/v1/users/{}/role", admin.id), json!({"role": "admin"}))
        .await
        .expect(200);
    let before = acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await;
    let users = manager.client.all("/v1/users").await;

    for operation in operations() {
        let Some(grant) = operation.grant() else { continue };
        let path = operation.path_in(&app, &acme);
        for (who, client) in nobodies(&app, &acme, &expired) {
            operation.refuses(&client, &path, 401, who).await;
        }
        match grant {
            Audience::SignedIn => operation.refuses(&acme.server, &path, 401, "an API key").await,
            Audience::Org(granted) | Audience::Resource(granted) => {
                operation
                    .refuses(&acme.server.within(&acme.org), &path, 401, "an API key")
                    .await;
                let stranger = rival.owner.client.within(&acme.org);
                operation.refuses(&stranger, &path, 404, "a stranger").await;
                operation
                    .refuses(&manager.client.within(&acme.org), &path, 404, "a platform manager")
                    .await;
                for (role, person) in &members {
                    let parsed: OrgRole = serde_json::from_value(json!(role)).unwrap();
                    if !granted.contains(&parsed) {
                        operation.refuses(&person.client, &path, 403, role).await;
                    }
                }
            }
            Audience::Platform(least) => {
                operation.refuses(&acme.server, &path, 401, "an API key").await;
                operation.refuses(&rival.client, &path, 403, "an owner").await;
                if least == PlatformRole::Manager {
                    operation.refuses(&admin.client, &path, 403, "a platform admin").await;
                }
            }
            Audience::ApiKey(_) => {
                for bad in ["", "garbage", &acme.key_id, &acme.key.replace("ch_live_", "ch_test_")] {
                    let client = app.client().header("x-api-key", bad);
                    operation.refuses(&client, &path, 401, "a bad key").await;
                }
                operation.refuses(&acme.client, &path, 401, "an owner").await;
                operation
                    .refuses(&manager.client, &path, 401, "a platform manager")
                    .await;
            }
        }
    }
    // And nothing was changed by any of it.
    assert_eq!(acme.client.all(format!("/v1/orgs/{}/audit", acme.org)).await, before);
    assert_eq!(manager.client.all("/v1/users").await, users);
}

#[tokio::test]
async fn public_operations_answer_nobody_without_failing() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    for operation in operations().iter().filter(|operation| operation.grant().is_none()) {
        let reply = operation.call(&app.client(), &operation.path_in(&app, &acme)).await;
        let expected = match (operation.method.as_str(), operation.path.as_str()) {
            // This app has no such provider.
            ("GET", "/v1/auth/google" | "/v1/auth/google/callback") => 409,
            // No link ends so.
            (_, path) if path.starts_with("/pay/{token}") => 404,
            (_, path) if path.starts_with("/v1/unsubscribe/{token}") => 404,
            // This organization has no account there.
            (_, path) if path.starts_with("/v1/provider-webhooks/") => 404,
            // It asks for nothing.
            ("GET", _) | (_, "/v1/auth/login/passkey") => 200,
            _ => 400,
        };
        assert_eq!(reply.status, expected, "{}: {}", operation.name(), reply.json);
    }
}

#[tokio::test]
async fn every_route_of_the_template_serves_an_operation_and_every_operation_has_a_route() {
    let app = TestApp::start().await;
    let mut served = BTreeSet::new();
    for operation in operations() {
        let route = app.route_of(&operation.method, &operation.path.replace(['{', '}'], ""));
        let route = route.unwrap_or_else(|| panic!("no route of template.yaml takes {}", operation.name()));
        assert_ne!(
            route.path,
            "$default",
            "no route of template.yaml takes {}",
            operation.name()
        );
        served.insert((route.method.clone(), route.path.clone()));
    }
    // What no operation takes goes to `$default`.
    for route in app.template().routes.iter().filter(|route| route.path != "$default") {
        let key = (route.method.clone(), route.path.clone());
        assert!(
            served.contains(&key),
            "{} {} serves no documented operation",
            route.method,
            route.path
        );
    }
}

#[test]
fn every_operation_is_described_in_full() {
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let (name, documented) = (operation.name(), &operation.documented);
        let id = documented["operationId"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no operationId"));
        assert!(ids.insert(id.to_owned()), "{id} stands twice");
        let snake = id.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(snake, "{id} is not in snake case");
        assert!(
            documented["tags"].as_array().is_some_and(|tags| tags.len() == 1),
            "{name} has not one tag"
        );
        assert!(
            documented["summary"].as_str().is_some_and(|text| text.len() > 5),
            "{name} has no summary"
        );

        let responses = documented["responses"].as_object().unwrap();
        let is_success = |status: &&String| status.starts_with('2') || ["302", "303"].contains(&status.as_str());
        let successes = responses.keys().filter(is_success).count();
        // What is begun once may have been begun before: 201, and 200 with the same. A statement is a link, or data.
        let has_two = name.ends_with("/pay") || name.ends_with("/statement");
        let wanted = if has_two { 2 } else { 1 };
        assert_eq!(successes, wanted, "{name} has another number of successes");
        let mut expected = Vec::new();
        if operation.grant().is_some() {
            expected.extend(["400", "401", "403", "404", "500", "503"]);
        }
        if !documented["requestBody"].is_null() {
            expected.extend(["400", "413", "415", "422"]);
        }
        if operation.method != "GET" && operation.grant().is_some() {
            expected.extend(["409", "412"]);
        }
        for status in expected {
            let schema = &documented["responses"][status]["content"]["application/problem+json"]["schema"];
            let reference = schema["$ref"]
                .as_str()
                .unwrap_or_else(|| panic!("{name} does not document {status}"));
            assert_eq!(reference, "#/components/schemas/ProblemDetails");
        }
        described_credentials(&operation);
        described_parameters(&operation);
    }
}

fn described_credentials(operation: &Operation) {
    let (name, security) = (operation.name(), &operation.documented["security"]);
    match operation.grant() {
        Some(Audience::ApiKey(_)) => assert_eq!(*security, json!([{"apiKey": []}]), "{name}"),
        Some(_) => assert_eq!(*security, json!([{"bearer": []}]), "{name}"),
        // Public: none, or none as one of the choices.
        None => {
            let optional = security.as_array().is_none_or(|choices| choices.contains(&json!({})));
            assert!(optional, "{name} is public but wants credentials");
        }
    }
}

#[tokio::test]
async fn what_is_everybodys_is_seen_on_the_platform_alone() {
    let app = TestApp::start().await;
    let (acme, manager) = (app.tenant().await, app.manager().await);
    for operation in operations() {
        let row = WHO.iter().find(|(method, path, who)| {
            let both = ON_THE_PLATFORM.iter().any(|(within, _)| within == who);
            both && *method == operation.method && *path == operation.path
        });
        if row.is_none() {
            continue;
        }
        let path = operation.path_in(&app, &acme);
        let reply = operation.call(&acme.owner.client, &path).await;
        assert_eq!(reply.status, 400, "{}", operation.name());
        reply.problem(400, "missing_org");
        let reply = operation.call(&manager.client, &path).await;
        let absent = path.contains("/job_");
        let expected = if absent { 404 } else { 200 };
        assert_eq!(reply.status, expected, "{}: {}", operation.name(), reply.json);
    }
}

/// Path parameters, and the organization where neither path nor key names it.
fn described_parameters(operation: &Operation) {
    let parameters = operation.documented["parameters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let named = |place: &str| -> BTreeSet<String> {
        let here = parameters.iter().filter(|one| one["in"] == place);
        here.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let in_path: BTreeSet<String> = operation
        .path
        .split('/')
        .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.to_owned()))
        .collect();
    assert_eq!(named("path"), in_path, "{}", operation.name());
    let by_header =
        matches!(operation.grant(), Some(Audience::Org(_) | Audience::Resource(_))) && !in_path.contains("orgId");
    // Where a person may act in one, or not.
    let may = operation.path.starts_with("/v1/email-suppressions/");
    let found = named("header").contains("x-org-id");
    assert_eq!(found, by_header || may, "{}", operation.name());
}

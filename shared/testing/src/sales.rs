//! What a tenant sells, as tests begin with it, and the billing run.

use serde_json::{Value, json};

use crate::{Tenant, TestApp};

/// An object with the members of another one over its own.
fn with(mut base: Value, more: Value) -> Value {
    if let (Some(base), Value::Object(more)) = (base.as_object_mut(), more) {
        base.extend(more);
    }
    base
}

impl Tenant {
    async fn made(&self, path: &str, body: Value) -> String {
        self.client.post(path, body).await.expect(201).text("id")
    }

    /// Makes a client that pays in euros, with these members too; returns its id.
    pub async fn new_client(&self, more: Value) -> String {
        let base = json!({"name": "Acme GmbH", "email": "billing@acme.example", "currency": "EUR"});
        self.made("/v1/clients", with(base, more)).await
    }

    /// Makes a plan of so many cents for each 30 days, with these members too; returns its id.
    pub async fn new_plan(&self, amount: u32, more: Value) -> String {
        let prices = json!([{"kind": "flat", "amount": amount}]);
        let base = json!({"name": format!("Plan of {amount}"), "interval": "30d", "currency": "EUR", "prices": prices});
        self.made("/v1/plans", with(base, more)).await
    }

    /// Makes a draft of a contract; returns its id.
    pub async fn new_contract(&self, client: &str) -> String {
        self.made("/v1/contracts", json!({"clientId": client})).await
    }

    /// Makes a subscription, with these members too; returns its id.
    pub async fn new_subscription(&self, contract: &str, plan: &str, more: Value) -> String {
        let base = json!({"contractId": contract, "planId": plan});
        self.made("/v1/subscriptions", with(base, more)).await
    }

    /// Makes a client with an active contract and a subscription of this plan; returns their ids.
    pub async fn sold(&self, plan: &str, more: Value) -> Sold {
        let client = self.new_client(json!({})).await;
        let contract = self.new_contract(&client).await;
        let subscription = self.new_subscription(&contract, plan, more).await;
        let activate = format!("/v1/contracts/{contract}/activate");
        self.client.post(activate, json!({})).await.expect(200);
        Sold {
            client,
            contract,
            subscription,
        }
    }
}

/// What was sold to a client.
#[derive(Clone, Debug)]
pub struct Sold {
    /// The client.
    pub client: String,
    /// Its contract.
    pub contract: String,
    /// Its subscription.
    pub subscription: String,
}

impl TestApp {
    /// Lets the billing run do all that is due.
    pub async fn bill(&self) {
        self.fire("BillingRun").await;
        self.settle().await;
    }
}

//! People and tenants as tests begin with them.

use serde_json::json;

use crate::{Client, TestApp};

/// The password of every person.
pub const PASSWORD: &str = "correct horse battery staple";
/// The address of the first platform manager.
pub const MANAGER_EMAIL: &str = "manager@countinghouse.test";
/// The password of the first platform manager.
pub const MANAGER_PASSWORD: &str = "the first manager's password";

/// Someone who is logged in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Calls as this person.
    pub client: Client,
    /// Their id.
    pub id: String,
    /// Their address.
    pub email: String,
    /// Their access token.
    pub access_token: String,
    /// Their refresh token.
    pub refresh_token: String,
}

/// An organization with its owner, a project and an API key.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// The organization.
    pub org: String,
    /// Its owner.
    pub owner: Person,
    /// Calls as the owner within the organization.
    pub client: Client,
    /// A project.
    pub project: String,
    /// The id of the project's API key.
    pub key_id: String,
    /// The project's API key.
    pub key: String,
    /// Calls with the API key.
    pub server: Client,
}

impl TestApp {
    /// Registers someone new.
    pub async fn person(&self) -> Person {
        self.person_with(&format!("person-{}@example.com", self.number())).await
    }

    /// Registers someone new with this address, who gets the mail about it.
    pub async fn person_with(&self, email: &str) -> Person {
        self.person_named(email, "A Person").await
    }

    /// Registers someone new with this address who is called so.
    pub async fn person_named(&self, email: &str, name: &str) -> Person {
        let body = json!({"email": email, "password": PASSWORD, "name": name});
        let reply = self.client().post("/v1/auth/register", body).await.expect(201);
        self.send_notices().await;
        self.known(email.to_owned(), &reply)
    }

    /// Registers someone new who proves their address.
    pub async fn proved_person(&self) -> Person {
        let person = self.person().await;
        self.prove(&person).await;
        person
    }

    /// Proves a person's address by the mail that they got last.
    pub async fn prove(&self, person: &Person) {
        let token = json!({"token": self.token_mailed_to(&person.email)});
        self.client().post("/v1/auth/email/verify", token).await.expect(204);
    }

    /// Logs the first platform manager in.
    pub async fn manager(&self) -> Person {
        let body = json!({"email": MANAGER_EMAIL, "password": MANAGER_PASSWORD});
        let reply = self.client().post("/v1/auth/login", body).await.expect(200);
        self.known(MANAGER_EMAIL.to_owned(), &reply)
    }

    /// Who a reply with tokens lets in.
    pub fn known(&self, email: String, reply: &crate::Reply) -> Person {
        let access_token = reply.text("accessToken");
        Person {
            client: self.client().bearer(&access_token),
            id: reply.json["user"]["id"].as_str().expect("a user's id").to_owned(),
            email,
            access_token,
            refresh_token: reply.text("refreshToken"),
        }
    }

    /// Makes an organization with a project and a key.
    pub async fn tenant(&self) -> Tenant {
        let owner = self.person().await;
        let name = format!("Tenant {}", self.number());
        let org = owner
            .client
            .post("/v1/orgs", json!({"name": name}))
            .await
            .expect(201)
            .text("id");
        let client = owner.client.within(&org);
        let body = json!({"name": "Shop", "environment": "prod"});
        let project = client.post("/v1/projects", body).await.expect(201).text("id");
        let keys = format!("/v1/projects/{project}/api-keys");
        let key = client.post(keys, json!({"label": "server"})).await.expect(201);
        let (key_id, key) = (key.text("id"), key.text("key"));
        let server = self.client().header("x-api-key", &key);
        Tenant {
            org,
            owner,
            client,
            project,
            key_id,
            key,
            server,
        }
    }

    /// Makes two organizations that know nothing of each other.
    pub async fn tenants(&self) -> [Tenant; 2] {
        [self.tenant().await, self.tenant().await]
    }

    /// The same organization with another project and its API key.
    pub async fn project(&self, tenant: &Tenant) -> Tenant {
        let body = json!({"name": format!("Project {}", self.number()), "environment": "dev"});
        let project = tenant.client.post("/v1/projects", body).await.expect(201).text("id");
        let keys = format!("/v1/projects/{project}/api-keys");
        let key = tenant.client.post(keys, json!({"label": "server"})).await.expect(201);
        let (key_id, key) = (key.text("id"), key.text("key"));
        let server = self.client().header("x-api-key", &key);
        Tenant {
            project,
            key_id,
            key,
            server,
            ..tenant.clone()
        }
    }

    /// Gives a member a role in one project; returns the id of the grant.
    pub async fn grant(&self, tenant: &Tenant, member: &Person, project: &str, role: &str) -> String {
        let body = json!({"userId": member.id, "resourceType": "project", "resourceId": project, "role": role});
        let grants = format!("/v1/orgs/{}/grants", tenant.org);
        tenant.client.post(grants, body).await.expect(201).text("id")
    }

    /// Registers someone and makes them a member.
    pub async fn member(&self, tenant: &Tenant, role: &str) -> Person {
        let mut person = self.person().await;
        self.join(tenant, &person, role).await;
        person.client = person.client.within(&tenant.org);
        person
    }

    /// Invites someone, who accepts by the token of the mail.
    pub async fn join(&self, tenant: &Tenant, person: &Person, role: &str) {
        let members = format!("/v1/orgs/{}/members", tenant.org);
        let invitation = json!({"email": person.email, "role": role});
        tenant.client.post(members, invitation).await.expect(201);
        self.send_notices().await;
        let token = json!({"token": self.token_mailed_to(&person.email)});
        let accept = "/v1/orgs/invitations/accept";
        person.client.post(accept, token).await.expect(201);
    }
}

impl Person {
    /// Logs the person in again.
    pub async fn logged_in_again(&self, app: &TestApp) -> Self {
        let body = json!({"email": self.email, "password": PASSWORD});
        let reply = app.client().post("/v1/auth/login", body).await.expect(200);
        app.known(self.email.clone(), &reply)
    }
}

impl Tenant {
    /// The same organization, whose owner has logged in again: an access token ends while a test moves the clock.
    pub async fn logged_in_again(&self, app: &TestApp) -> Self {
        let owner = self.owner.logged_in_again(app).await;
        Self {
            client: owner.client.within(&self.org),
            owner,
            ..self.clone()
        }
    }

    /// Sends events with the API key and wants all of them accepted.
    pub async fn ingest(&self, events: serde_json::Value) {
        let many = events.as_array().map_or(0, Vec::len);
        let reply = self
            .server
            .post("/v1/ingest/events", json!({"events": events}))
            .await
            .expect(202);
        assert_eq!(reply.json["accepted"], many, "{}", reply.json);
    }
}

//! What policies guard, tried under each function's name: who reads logins, who changes the audit trail.

use std::collections::{BTreeSet, HashMap};
use std::future::IntoFuture;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, DeleteRequest, KeysAndAttributes, PutRequest, TransactWriteItem, Update, WriteRequest,
};
use table::TableName;
use testing::{Person, TestApp};

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) fn key(pk: &str, sk: &str) -> Item {
    Item::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))])
}

/// Calls as a function does, once.
pub(crate) fn client(app: &TestApp, function: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(function, "tests", None, None, "tests"))
        .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
        .endpoint_url(app.aws().endpoint())
        .build();
    Client::from_conf(config)
}

fn name(app: &TestApp, table: TableName) -> String {
    let environment = &app.template().functions[0].environment;
    environment[table.variable()].clone()
}

/// The functions that a call is granted to; every other one must be refused for want of a right, not for anything else.
async fn granted<T, E, C>(app: &TestApp, call: impl Fn(Client) -> C) -> BTreeSet<String>
where
    E: ProvideErrorMetadata,
    C: IntoFuture<Output = Result<T, SdkError<E>>>,
{
    let mut granted = BTreeSet::new();
    for function in &app.template().functions {
        match call(client(app, &function.id)).await {
            Err(SdkError::ServiceError(refused)) if refused.err().code() == Some("AccessDeniedException") => {}
            Err(SdkError::ServiceError(other)) => panic!("{}: {:?}", function.id, other.err().message()),
            Err(error) => panic!("{}: no answer: {error}", function.id),
            Ok(_) => {
                granted.insert(function.id.clone());
            }
        }
    }
    granted
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn only_what_lets_people_in_reads_a_login() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let table = name(&app, TableName::Logins);
    let login = key(&format!("LOGIN#password#{}", ada.email), "LOGIN");
    let get = |client: Client| client.get_item().table_name(&table).set_key(Some(login.clone())).send();
    let stored = get(client(&app, "tests")).await.unwrap().item.unwrap();
    assert!(stored.contains_key("passwordHash"));
    assert_eq!(granted(&app, get).await, set(["Auth", "Eraser", "ResetMailer"]));

    let nobody = set([]);
    let scan = |client: Client| client.scan().table_name(&table).send();
    assert_eq!(granted(&app, scan).await, nobody);
    let keys = KeysAndAttributes::builder().keys(login.clone()).build().unwrap();
    let batch = |client: Client| client.batch_get_item().request_items(&table, keys.clone()).send();
    assert_eq!(granted(&app, batch).await, nobody);
    let query = |client: Client| {
        let query = client.query().table_name(&table).key_condition_expression("pk = :pk");
        query.expression_attribute_values(":pk", login["pk"].clone()).send()
    };
    assert_eq!(granted(&app, query).await, nobody);
    let put = |client: Client| {
        client
            .put_item()
            .table_name(&table)
            .set_item(Some(stored.clone()))
            .send()
    };
    assert_eq!(granted(&app, put).await, set(["Auth"]));

    // Factors lie there too; who removes them for people who have lost them reaches no password.
    let factors = key(&format!("FACTORS#{}", ada.id), "FACTORS");
    let get = |client: Client| {
        client
            .get_item()
            .table_name(&table)
            .set_key(Some(factors.clone()))
            .send()
    };
    assert_eq!(
        granted(&app, get).await,
        set(["Auth", "Eraser", "ResetMailer", "Users"])
    );
    let delete = |client: Client| {
        client
            .delete_item()
            .table_name(&table)
            .set_key(Some(factors.clone()))
            .send()
    };
    assert_eq!(granted(&app, delete).await, set(["Auth", "Eraser", "Users"]));
    let delete = |client: Client| {
        client
            .delete_item()
            .table_name(&table)
            .set_key(Some(login.clone()))
            .send()
    };
    assert_eq!(granted(&app, delete).await, set(["Auth", "Eraser"]));
}

/// An entry of the audit trail that is there.
async fn entry(app: &TestApp, person: &Person, table: &str) -> Item {
    let key = key(&format!("USER#{}#AUDIT", person.id), "000000000001");
    let found = client(app, "tests")
        .get_item()
        .table_name(table)
        .set_key(Some(key))
        .send();
    found.await.unwrap().item.unwrap()
}

#[tokio::test]
async fn no_function_changes_or_deletes_an_entry_of_the_audit_trail() {
    let app = TestApp::start().await;
    let ada = app.person().await;
    let table = name(&app, TableName::Audit);
    let before = entry(&app, &ada, &table).await;
    let place: Item = before
        .clone()
        .into_iter()
        .filter(|(name, _)| ["pk", "sk"].contains(&name.as_str()))
        .collect();

    let nobody = set([]);
    let delete = |client: Client| {
        client
            .delete_item()
            .table_name(&table)
            .set_key(Some(place.clone()))
            .send()
    };
    assert_eq!(granted(&app, delete).await, nobody);
    let update = |client: Client| {
        let update = client.update_item().table_name(&table).set_key(Some(place.clone()));
        update
            .update_expression("SET forged = :x")
            .expression_attribute_values(":x", text("x"))
            .send()
    };
    assert_eq!(granted(&app, update).await, nobody);
    let deleted = DeleteRequest::builder().set_key(Some(place.clone())).build().unwrap();
    let put = PutRequest::builder().set_item(Some(before.clone())).build().unwrap();
    let in_batch = [
        WriteRequest::builder().delete_request(deleted).build(),
        WriteRequest::builder().put_request(put).build(),
    ];
    for request in in_batch {
        let batch = |client: Client| {
            client
                .batch_write_item()
                .request_items(&table, vec![request.clone()])
                .send()
        };
        assert_eq!(granted(&app, batch).await, nobody);
    }
    let deleted = Delete::builder()
        .table_name(&table)
        .set_key(Some(place.clone()))
        .build()
        .unwrap();
    let updated = Update::builder().table_name(&table).set_key(Some(place.clone()));
    let updated = updated.update_expression("REMOVE hash").build().unwrap();
    let in_transaction = [
        TransactWriteItem::builder().delete(deleted).build(),
        TransactWriteItem::builder().update(updated).build(),
    ];
    for item in in_transaction {
        let transaction = |client: Client| client.transact_write_items().transact_items(item.clone()).send();
        assert_eq!(granted(&app, transaction).await, nobody);
    }
    assert_eq!(entry(&app, &ada, &table).await, before);
}

#[tokio::test]
async fn the_trail_forbids_it_also_to_a_function_that_is_granted_it() {
    let app = TestApp::start().await;
    let table = app
        .template()
        .tables
        .iter()
        .find(|table| table.name == name(&app, TableName::Audit))
        .unwrap();
    let forbidden: Vec<&str> = table
        .denials
        .iter()
        .flat_map(|denial| &denial.actions)
        .map(String::as_str)
        .collect();
    for action in [
        "UpdateItem",
        "DeleteItem",
        "BatchWriteItem",
        "PartiQLUpdate",
        "PartiQLDelete",
    ] {
        assert!(forbidden.contains(&format!("dynamodb:{action}").as_str()), "{action}");
    }
}

#[tokio::test]
async fn health_reads_its_probe_and_ingest_what_it_needs() {
    let app = TestApp::start().await;
    let acme = app.tenant().await;
    let table = name(&app, TableName::Identity);
    let may_read = |function: &'static str, pk: String, sk: &'static str| {
        let (app, table) = (app.clone(), table.clone());
        async move {
            let get = client(&app, function)
                .get_item()
                .table_name(table)
                .set_key(Some(key(&pk, sk)));
            match get.send().await {
                Ok(_) => true,
                Err(refused) => {
                    assert_eq!(refused.code(), Some("AccessDeniedException"));
                    false
                }
            }
        }
    };
    let (org, project, user) = (&acme.org, &acme.project, &acme.owner.id);
    assert!(may_read("Health", "PROBE".to_owned(), "PROBE").await);
    assert!(may_read("Ingest", format!("ORG#{org}"), "ORG").await);
    assert!(may_read("Ingest", format!("PRJ#{project}"), "KEY#key_1").await);
    assert!(may_read("Ingest", format!("KEY#{}", "0".repeat(64)), "KEY").await);
    for (pk, sk) in [
        (format!("USER#{user}"), "USER"),
        (format!("USER#{user}"), "MAILED"),
        (format!("ATTEMPT#{}", "0".repeat(64)), "ATTEMPT"),
        ("USERS".to_owned(), "x"),
    ] {
        assert!(!may_read("Ingest", pk.clone(), sk).await, "Ingest reads {pk}");
        assert!(!may_read("Health", pk.clone(), sk).await, "Health reads {pk}");
    }
    assert!(!may_read("Health", format!("ORG#{org}"), "ORG").await);
    assert!(!may_read("Health", "PROBE#".to_owned(), "PROBE").await);
}

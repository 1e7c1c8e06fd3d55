//! The parts that handlers and capabilities share. Built once, during init.

use std::sync::Arc;

use anyhow::Result;
use aws_lc_rs::digest::{SHA256, digest};
use kernel::Time;
use kernel::seal::Keyring;
use table::{Cursors, Table, TableName};

use crate::{Clock, Env, Memory, Queues, Sealing, Shutdown};

/// The parts that everything shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// DynamoDB.
    pub table: Table,
    /// Signs and opens the cursors of lists.
    pub cursors: Cursors,
    /// Tells the time.
    pub clock: Clock,
    /// Sends to queues.
    pub queues: Queues,
    /// What this process remembers.
    pub memory: Memory,
    /// The secrets of what is stored for a while.
    pub keys: Arc<Keyring>,
    /// Seals what is stored and may hold a secret.
    pub sealing: Sealing,
    /// Whether this process is to end.
    pub shutdown: Shutdown,
}

impl App {
    /// What time it is.
    pub fn now(&self) -> Time {
        self.clock.now()
    }
}

impl Env {
    /// Builds the parts of a function with this environment.
    pub fn app(&self) -> Result<App> {
        let config = self.aws_config()?;
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&config);
        dynamodb.set_endpoint_url(self.aws_endpoint("DYNAMODB"));
        let client = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
        let named = |name: &TableName| Some((*name, self.optional(name.variable())?.to_owned()));
        let tables = TableName::ALL.iter().filter_map(named);
        let secret = self.variable("CURSOR_SECRET")?.as_bytes();
        Ok(App {
            table: Table::new(client, tables.collect()),
            cursors: Cursors::new(secret),
            clock: self.clock().clone(),
            queues: Queues::new(self, config),
            memory: Memory::default(),
            keys: Arc::new(keyring(secret)?),
            sealing: Sealing::of(self),
            shutdown: self.shutdown().clone(),
        })
    }
}

/// The keyring of a deployment that has one secret: a key for it, which the cursors' is not.
fn keyring(secret: &[u8]) -> Result<Keyring> {
    let key = digest(&SHA256, &[b"keyring\n", secret].concat());
    Ok(format!("1:{}", hex::encode(key)).parse()?)
}

//! The parts that handlers and capabilities share. Built once, during init.

use std::sync::Arc;

use anyhow::Result;
use kernel::Time;
use kernel::seal::Keyring;
use table::{Cursors, Table, TableName};

use crate::{Clock, Env, Measures, Memory, Queues, Sealing, Shutdown};

/// Names the parameter with the keys of what goes out to clients and comes back: cursors, and whatever else of a request
/// is signed or sealed.
pub const REQUEST_KEYS: &str = "REQUEST_KEYS_PARAMETER";
/// Names the parameter with the keys that seal what is stored: notices under way, secrets of webhooks and
/// of authenticator apps.
pub const SEALING_KEYS: &str = "SEALING_KEYS_PARAMETER";

/// The parts that everything shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// DynamoDB.
    pub table: Table,
    /// Signs and opens the cursors of lists.
    pub cursors: Cursors,
    /// Seals what is stored and may hold a secret.
    pub sealing: Sealing,
    /// Tells the time.
    pub clock: Clock,
    /// Sends to queues.
    pub queues: Queues,
    /// Counts and times what happens.
    pub measures: Measures,
    /// What this process remembers.
    pub memory: Memory,
    /// The keys of what goes out to clients and comes back; nothing for a function that has no such thing.
    pub keys: Option<Arc<Keyring>>,
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
    /// Builds the parts of a function with this environment. Reads its secrets, if it needs any for them.
    pub async fn app(&self) -> Result<App> {
        let config = self.aws_config()?;
        let mut dynamodb = aws_sdk_dynamodb::config::Builder::from(&config);
        dynamodb.set_endpoint_url(self.aws_endpoint("DYNAMODB"));
        let client = aws_sdk_dynamodb::Client::from_conf(dynamodb.build());
        let named = |name: &TableName| Some((*name, self.optional(name.variable())?.to_owned()));
        let tables = TableName::ALL.iter().filter_map(named);
        let keys = self.keyring(REQUEST_KEYS).await?;
        Ok(App {
            table: Table::new(client, tables.collect()),
            cursors: Cursors::new(keys.clone()),
            keys,
            sealing: Sealing::with(self.keyring(SEALING_KEYS).await?),
            clock: self.clock().clone(),
            queues: Queues::new(self, config),
            measures: self.measures().clone(),
            memory: Memory::default(),
            shutdown: self.shutdown().clone(),
        })
    }
}

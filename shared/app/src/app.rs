//! The parts that handlers and capabilities share. Built once, during init.

use anyhow::Result;
use kernel::Time;
use table::{Cursors, Table, TableName};

use crate::{Clock, Env, Queues, Sealing, Shutdown};

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
        Ok(App {
            table: Table::new(client, tables.collect()),
            cursors: Cursors::new(self.variable("CURSOR_SECRET")?.as_bytes()),
            clock: self.clock().clone(),
            queues: Queues::new(self, config),
            sealing: Sealing::of(self),
            shutdown: self.shutdown().clone(),
        })
    }
}

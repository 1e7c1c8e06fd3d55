//! The environment of one function: its variables and its clock, given and not looked up, so that a test starts a
//! function with what the template says.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::OnceCell;

use crate::secrets::Secrets;
use crate::{Clock, Measures, Shutdown};

/// Names the file by which the local stack moves the time.
const LOCAL_CLOCK: &str = "LOCAL_CLOCK";

/// The environment of a function. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    variables: Arc<BTreeMap<String, String>>,
    clock: Clock,
    /// Read when the first is asked for; clones share them.
    pub(crate) secrets: Arc<OnceCell<Secrets>>,
    shutdown: Shutdown,
    measures: Measures,
}

impl Env {
    /// That of this process. Variables that are not Unicode are left out.
    pub fn of_process() -> Self {
        let texts =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables: BTreeMap<String, String> = texts.collect();
        let clock = variables.get(LOCAL_CLOCK).map_or_else(Clock::system, Clock::moved_by);
        Self::of(variables, clock)
    }

    /// One with these variables and this clock.
    pub fn of(variables: BTreeMap<String, String>, clock: Clock) -> Self {
        Self {
            variables: Arc::new(variables),
            clock,
            secrets: Arc::default(),
            shutdown: Shutdown::default(),
            measures: Measures::default(),
        }
    }

    /// A variable that must be there.
    pub fn variable(&self, name: &str) -> Result<&str> {
        self.optional(name)
            .with_context(|| format!("the environment variable {name} is not set"))
    }

    /// A variable that may be absent.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The variables whose names end so, with their values.
    pub(crate) fn variables_ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.variables.iter().filter(move |(name, _)| name.ends_with(end));
        all.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the process is to end.
    pub fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// What counts and times.
    pub fn measures(&self) -> &Measures {
        &self.measures
    }

    /// What tells the time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl std::fmt::Debug for Env {
    /// Without the values, which may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("names", &self.variables.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::Time;

    fn env() -> Env {
        let variables = BTreeMap::from([("SECRET".to_owned(), "hush".to_owned())]);
        Env::of(variables, Clock::at(Time::from_millis(7)))
    }

    #[test]
    fn what_is_absent_is_named() {
        let error = env().variable("TABLE_IDENTITY").unwrap_err();
        assert!(error.to_string().contains("TABLE_IDENTITY"));
        assert_eq!(env().optional("TABLE_IDENTITY"), None);
        assert_eq!(env().variable("SECRET").unwrap(), "hush");
    }

    #[test]
    fn no_value_is_printed() {
        let printed = format!("{:?}", env());
        assert!(printed.contains("SECRET") && !printed.contains("hush"), "{printed}");
    }
}

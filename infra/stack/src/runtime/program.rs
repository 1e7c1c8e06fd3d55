//! What is started for a function.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::template::Function;

/// A program to start, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The binary.
    pub path: PathBuf,
    /// Its arguments; none for a real function.
    pub arguments: Vec<String>,
}

/// Which program serves which function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Programs {
    /// Each function has its own, by the name of its binary.
    Separate(BTreeMap<String, Program>),
    /// One serves them all; the name of the function's binary follows its arguments.
    Together(Program),
}

impl Programs {
    /// Finds what to start for a function.
    pub fn of(&self, function: &Function) -> Result<Program> {
        match self {
            Self::Separate(programs) => programs
                .get(&function.binary)
                .cloned()
                .with_context(|| format!("{} has no program", function.binary)),
            Self::Together(program) => {
                let mut program = program.clone();
                program.arguments.push(function.binary.clone());
                Ok(program)
            }
        }
    }
}

/// Asks the kernel to kill this process when its parent dies, then becomes the program. What it returns is why it
/// did not. A guard of [`super::Shared`] is a program of ours that calls this.
pub fn become_guarded(program: &Path, arguments: &[String]) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn function() -> Function {
        let text = "{Resources: {It: {Type: 'AWS::Serverless::Function', Metadata: {BuildProperties: {Binary: it}}}}}";
        let template = Template::parse(text, &BTreeMap::new()).unwrap();
        template.function("It").unwrap().clone()
    }

    #[test]
    fn one_program_is_told_which_function_it_is() {
        let all = Program {
            path: "all".into(),
            arguments: vec!["serve".into()],
        };
        let program = Programs::Together(all).of(&function()).unwrap();
        assert_eq!(program.arguments, ["serve", "it"]);
    }

    #[test]
    fn a_function_without_a_program_is_named() {
        let error = Programs::Separate(BTreeMap::new()).of(&function()).unwrap_err();
        assert_eq!(error.to_string(), "it has no program");
    }
}

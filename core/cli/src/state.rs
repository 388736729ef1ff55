//! Where `map` records what it has mapped, so that the next start after a crash can take it up again.

use std::path::PathBuf;

use clap::Args;
use portlease::config::default_state_dir;

use crate::output::Output;

/// The record of what is mapped.
#[derive(Debug, Args)]
#[command(next_help_heading = "After a crash")]
pub(crate) struct StateArgs {
    /// Folder for the record of what is mapped; it is created if it does not exist [default: the system's for state]
    #[arg(long, value_name = "DIR", conflicts_with = "no_state")]
    state_dir: Option<PathBuf>,
    /// Record nothing. What a crash leaves on the router then stays until its lifetime ends
    #[arg(long)]
    no_state: bool,
}

/// The record of what `map` has opened, for commands that read it.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecordArgs {
    /// Folder with the record of what `portlease map` has mapped, for IPv6 and `unmap --mine` [default: the default of map]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl RecordArgs {
    /// The folder, if there is any.
    pub(crate) fn folder(self) -> Option<PathBuf> {
        self.state_dir.or_else(|| default_state_dir().ok().flatten())
    }
}

impl StateArgs {
    /// The folder to use. If there is none for a reason that the user should know, that is told once.
    pub(crate) fn folder(&self, output: &Output) -> Option<PathBuf> {
        if self.no_state || self.state_dir.is_some() {
            return self.state_dir.clone();
        }
        default_state_dir().unwrap_or_else(|why| {
            if !output.json() {
                output
                    .note(format!("portlease: nothing is recorded for a crash: {why}; name a folder with --state-dir"));
            }
            None
        })
    }
}

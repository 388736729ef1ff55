//! `portlease completions`: scripts for shells.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Cli, DONE, Outcome};

const AFTER_HELP: &str = "\
Examples:
  portlease completions bash > ~/.local/share/bash-completion/completions/portlease
  portlease completions zsh  > ~/.zfunc/_portlease      # with fpath+=~/.zfunc in ~/.zshrc
  portlease completions fish > ~/.config/fish/completions/portlease.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Outcome {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "portlease", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(DONE)
}

//! `portlease completions`: scripts for shells.

use std::io::Write;

use clap::Args;
use clap_complete::{Shell, generate};

use crate::outcome::{DONE, Outcome};

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

/// Prints the script for `program`.
pub(crate) fn run(args: &CompletionsArgs, mut program: clap::Command) -> Outcome {
    // Into memory first: the generator panics if it cannot write.
    let mut script = Vec::new();
    generate(args.shell, &mut program, "portlease", &mut script);
    if args.shell == Shell::Zsh {
        script = with_options_after_ports(&script);
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    out.flush()?;
    Ok(DONE)
}

/// clap_complete writes `*::` for an argument that may be repeated, after which zsh completes no options any more. After a port
/// there may be options; after the program of `run` only its own.
fn with_options_after_ports(script: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(script).replace("'*::ports ", "'*:ports ").into_bytes()
}

//! `portlease run`: starts a program with portlease's libraries in place of miniupnpc and libnatpmp.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::outcome::Outcome;

const LONG_ABOUT: &str = "\
Start a program that maps ports by miniupnpc or libnatpmp, and let portlease map them.

The program needs no change: it finds portlease's libminiupnpc.so.17, libminiupnpc.so.18 and libnatpmp.so.1 before those \
of the system, because their folder comes first in LD_LIBRARY_PATH. It then takes the place of this command, with the \
same process number, so signals reach it and its exit status is its own. Programs that it starts get the libraries too.

A program that links neither library runs as it does without portlease. To see whether a running program \
has loaded them, look for portlease-compat in /proc/PID/maps. Works on Linux only.";

const AFTER_HELP: &str = "\
Examples:
  portlease run -- transmission-daemon -f
  portlease run --libraries ~/lib/portlease-compat -- i2pd --upnp.enabled=true

Search order, for a folder that has all three libraries:
  ../lib/portlease-compat             from the folder of this program
  ../lib/TRIPLET/portlease-compat     the same; a triplet is, for example, x86_64-linux-gnu
  /usr/lib/TRIPLET/portlease-compat   where the Debian package portlease-compat puts them
  /usr/local/lib/portlease-compat     where `make install-compat` puts them

Exit status:
  125  portlease could not start the program, for example because there are no libraries
  126  the program cannot be executed
  127  the program was not found
  2    the command line makes no sense
  any other status is the program's own";

/// Start a program with portlease in place of miniupnpc and libnatpmp
#[derive(Debug, Args)]
#[command(long_about = LONG_ABOUT, after_help = AFTER_HELP)]
#[command(override_usage = "portlease run [OPTIONS] [--] <PROGRAM> [ARGUMENTS]...")]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) struct RunArgs {
    /// Folder with the libraries; no other place is looked at
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) libraries: Option<PathBuf>,
    /// The program, found by PATH if it has no slash, and its arguments; they are its own even if they look like options of
    /// portlease
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_name = "PROGRAM")]
    #[arg(value_hint = ValueHint::CommandWithArguments)]
    pub(crate) program: Vec<OsString>,
}

/// Replaces this process by the program. Returns only if that failed.
#[cfg(target_os = "linux")]
pub(crate) fn run(args: &RunArgs) -> Outcome {
    Ok(crate::drop_in::start(args))
}

/// Says why there is no such thing here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &RunArgs) -> Outcome {
    let why = if cfg!(target_os = "macos") {
        "macOS takes DYLD_LIBRARY_PATH away from the programs that it protects"
    } else if cfg!(windows) {
        "Windows has no variable that puts a library before the program's own"
    } else {
        "the libraries exist for Linux only"
    };
    crate::output::Output::plain().note(format!("portlease: run: works on Linux only: {why}"));
    Ok(crate::outcome::NOT_STARTED)
}

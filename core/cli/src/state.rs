//! Where `map` records what it has mapped, so that the next start after a crash can take it up again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::output::Output;

/// The record of what is mapped.
#[derive(Debug, Args)]
#[command(next_help_heading = "After a crash")]
pub(crate) struct StateArgs {
    /// Folder for the record of what is mapped; it is created if it does not exist [default: the system's for state]
    #[arg(long, value_name = "DIR", conflicts_with = "no_state")]
    state_dir: Option<PathBuf>,
    /// Record nothing: what a crash leaves on the router stays there until its lifetime ends
    #[arg(long)]
    no_state: bool,
}

/// The record of what `map` has opened, for commands that read it.
#[derive(Debug, Args)]
pub(crate) struct RecordArgs {
    /// Folder with the record of what `portlease map` has mapped, for IPv6 [default: the one that map has by default]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl RecordArgs {
    /// The folder, if there is any.
    pub(crate) fn folder(self) -> Option<PathBuf> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        self.state_dir.or_else(|| default_folder(System::HERE, variable, owner).ok().flatten())
    }
}

impl StateArgs {
    /// The folder to use. If there is none for a reason that the user should know, that is told once.
    pub(crate) fn folder(&self, output: &Output) -> Option<PathBuf> {
        if self.no_state || self.state_dir.is_some() {
            return self.state_dir.clone();
        }
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        default_folder(System::HERE, variable, owner).unwrap_or_else(|why| {
            if !output.json() {
                output
                    .note(format!("portlease: nothing is recorded for a crash: {why}; name a folder with --state-dir"));
            }
            None
        })
    }
}

/// Whose customs are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    Unix,
    MacOs,
    Windows,
}

impl System {
    const HERE: Self = match (cfg!(windows), cfg!(target_os = "macos")) {
        (true, _) => Self::Windows,
        (_, true) => Self::MacOs,
        _ => Self::Unix,
    };
}

/// Whose a home folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The user who runs this program.
    User,
    #[cfg_attr(not(unix), allow(dead_code, reason = "only Unix keeps HOME when the user changes"))]
    Another,
    /// There is no such folder.
    Nobody,
}

/// The folder for the state of programs. None if the system gives no home to this program, as in many containers; a
/// reason if it gives one that must not be used.
fn default_folder(
    system: System,
    variable: impl Fn(&str) -> Option<OsString>,
    owner: impl Fn(&Path) -> Owner,
) -> Result<Option<PathBuf>, String> {
    let (named, below_home) = match system {
        System::Unix => (Some("XDG_STATE_HOME"), Some(".local/state/portlease")),
        System::MacOs => (None, Some("Library/Application Support/portlease")),
        System::Windows => (Some("LOCALAPPDATA"), None),
    };
    if let Some((name, value)) = named.and_then(|name| Some((name, variable(name)?))) {
        let folder = PathBuf::from(value);
        // The home does not take its place: whoever sets this does not want the state there.
        return match folder.is_absolute() {
            true => Ok(Some(folder.join("portlease"))),
            false => Err(format!("{name} must be an absolute path, not `{}`", folder.display())),
        };
    }
    let Some(below) = below_home else { return Ok(None) };
    let Some(home) = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) else { return Ok(None) };
    match owner(&home) {
        Owner::User => Ok(Some(home.join(below))),
        Owner::Nobody => Ok(None),
        // As by sudo on macOS: what root creates there, that user could neither use nor delete.
        Owner::Another => Err(format!("HOME is {}, which belongs to another user", home.display())),
    }
}

#[cfg(unix)]
fn owner(home: &Path) -> Owner {
    use std::os::unix::fs::MetadataExt;

    // The system says by which user a socket was made; std has no other way to learn who runs this program.
    let user = tokio::net::UnixStream::pair().and_then(|(end, _other)| end.peer_cred()).map(|user| user.uid());
    match (std::fs::metadata(home), user) {
        (Ok(home), Ok(user)) if home.uid() == user => Owner::User,
        (Ok(_), _) => Owner::Another,
        (Err(_), _) => Owner::Nobody,
    }
}

#[cfg(not(unix))]
fn owner(home: &Path) -> Owner {
    if home.is_dir() { Owner::User } else { Owner::Nobody }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(system: System, variables: &[(&str, &str)], owner: Owner) -> Result<Option<PathBuf>, String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        default_folder(system, variable, |_| owner)
    }

    /// A path that is absolute where the test runs.
    fn absolute(path: &str) -> String {
        if cfg!(windows) { format!("C:{path}") } else { path.to_owned() }
    }

    fn some(path: &str) -> Result<Option<PathBuf>, String> {
        Ok(Some(absolute(path).into()))
    }

    #[test]
    fn each_system_has_its_own_place_for_state() {
        let [home, xdg, app_data] = ["/home/bob", "/state", "/local"].map(absolute);
        let at_home = [("HOME", &*home)];
        assert_eq!(folder(System::Unix, &at_home, Owner::User), some("/home/bob/.local/state/portlease"));
        assert_eq!(
            folder(System::MacOs, &at_home, Owner::User),
            some("/home/bob/Library/Application Support/portlease")
        );
        let both = [("HOME", &*home), ("XDG_STATE_HOME", &*xdg)];
        assert_eq!(folder(System::Unix, &both, Owner::User), some("/state/portlease"));
        let local = [("HOME", &*home), ("LOCALAPPDATA", &*app_data)];
        assert_eq!(folder(System::Windows, &local, Owner::User), some("/local/portlease"));
    }

    #[test]
    fn without_a_home_there_is_no_folder_and_no_word_about_it() {
        for system in [System::Unix, System::MacOs, System::Windows] {
            assert_eq!(folder(system, &[], Owner::User), Ok(None), "{system:?}");
            assert_eq!(folder(system, &[("HOME", "home")], Owner::User), Ok(None), "{system:?}");
            // Such as /nonexistent of a service's user.
            assert_eq!(folder(system, &[("HOME", &*absolute("/nonexistent"))], Owner::Nobody), Ok(None), "{system:?}");
        }
    }

    #[test]
    fn a_relative_state_folder_is_neither_used_nor_replaced_by_the_home() {
        let relative = [("HOME", &*absolute("/home/bob")), ("XDG_STATE_HOME", "state")];
        let why = folder(System::Unix, &relative, Owner::User).unwrap_err();
        assert_eq!(why, "XDG_STATE_HOME must be an absolute path, not `state`");
    }

    #[test]
    fn root_writes_nothing_into_the_home_of_a_user() {
        let why = folder(System::Unix, &[("HOME", &*absolute("/home/bob"))], Owner::Another).unwrap_err();
        assert!(why.contains("/home/bob, which belongs to another user"), "{why}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_owner_of_a_home_is_compared_with_the_user_of_the_program() {
        let ours = std::env::temp_dir().join(format!("portlease-home-{}", std::process::id()));
        std::fs::create_dir(&ours).unwrap();
        assert_eq!(owner(&ours), Owner::User);
        std::fs::remove_dir(&ours).unwrap();
        assert_eq!(owner(&ours), Owner::Nobody);
    }
}

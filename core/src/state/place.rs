//! The system's folder for the state of programs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::PortMappingError;
#[cfg(unix)]
use crate::system::user;

/// The folder below the system's one for the state of programs that belongs to portlease, for
/// [`Config::state_dir`](crate::Config#structfield.state_dir): `$XDG_STATE_HOME/portlease` or `~/.local/state/portlease`, on macOS
/// `~/Library/Application Support/portlease`, on Windows `%LOCALAPPDATA%\portlease`. It need not exist. None if the system gives no
/// home to this program, as in many containers.
///
/// Fails with `invalid` for a place that must not be used: a relative `XDG_STATE_HOME`, and a home of another user (as by `sudo`
/// on macOS), who could neither use nor delete what is written there.
pub fn default_state_dir() -> Result<Option<PathBuf>, PortMappingError> {
    folder_of(System::HERE, |name| std::env::var_os(name).filter(|value| !value.is_empty()), owner)
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

/// See [`default_state_dir`].
fn folder_of(
    system: System,
    variable: impl Fn(&str) -> Option<OsString>,
    owner: impl Fn(&Path) -> Owner,
) -> Result<Option<PathBuf>, PortMappingError> {
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
            false => {
                Err(PortMappingError::invalid(name, format!("must be an absolute path, not `{}`", folder.display())))
            }
        };
    }
    let Some(below) = below_home else { return Ok(None) };
    let Some(home) = variable("HOME").map(PathBuf::from).filter(|home| home.is_absolute()) else { return Ok(None) };
    match owner(&home) {
        Owner::User => Ok(Some(home.join(below))),
        Owner::Nobody => Ok(None),
        // As by sudo on macOS: what root creates there, that user could neither use nor delete.
        Owner::Another => Err(PortMappingError::invalid("HOME", format!("{} belongs to another user", home.display()))),
    }
}

#[cfg(unix)]
fn owner(home: &Path) -> Owner {
    use std::os::unix::fs::MetadataExt;

    match std::fs::metadata(home) {
        Ok(home) if home.uid() == user() => Owner::User,
        Ok(_) => Owner::Another,
        Err(_) => Owner::Nobody,
    }
}

#[cfg(not(unix))]
fn owner(home: &Path) -> Owner {
    if home.is_dir() { Owner::User } else { Owner::Nobody }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn folder(system: System, variables: &[(&str, &str)], owner: Owner) -> Result<Option<PathBuf>, PortMappingError> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        folder_of(system, variable, |_| owner)
    }

    /// A path that is absolute where the test runs.
    fn absolute(path: &str) -> String {
        if cfg!(windows) { format!("C:{path}") } else { path.to_owned() }
    }

    fn some(path: &str) -> Option<PathBuf> {
        Some(absolute(path).into())
    }

    #[test]
    fn each_system_has_its_own_place_for_state() {
        let [home, xdg, app_data] = ["/home/bob", "/state", "/local"].map(absolute);
        let at_home = [("HOME", &*home)];
        assert_eq!(folder(System::Unix, &at_home, Owner::User).unwrap(), some("/home/bob/.local/state/portlease"));
        assert_eq!(
            folder(System::MacOs, &at_home, Owner::User).unwrap(),
            some("/home/bob/Library/Application Support/portlease")
        );
        let both = [("HOME", &*home), ("XDG_STATE_HOME", &*xdg)];
        assert_eq!(folder(System::Unix, &both, Owner::User).unwrap(), some("/state/portlease"));
        let local = [("HOME", &*home), ("LOCALAPPDATA", &*app_data)];
        assert_eq!(folder(System::Windows, &local, Owner::User).unwrap(), some("/local/portlease"));
    }

    #[test]
    fn without_a_home_there_is_no_folder_and_no_word_about_it() {
        for system in [System::Unix, System::MacOs, System::Windows] {
            assert_eq!(folder(system, &[], Owner::User).unwrap(), None, "{system:?}");
            assert_eq!(folder(system, &[("HOME", "home")], Owner::User).unwrap(), None, "{system:?}");
            // Such as /nonexistent of a service's user.
            assert_eq!(
                folder(system, &[("HOME", &*absolute("/nonexistent"))], Owner::Nobody).unwrap(),
                None,
                "{system:?}"
            );
        }
    }

    #[test]
    fn a_relative_state_folder_is_neither_used_nor_replaced_by_the_home() {
        let relative = [("HOME", &*absolute("/home/bob")), ("XDG_STATE_HOME", "state")];
        let why = folder(System::Unix, &relative, Owner::User).unwrap_err();
        assert_eq!(why.kind(), ErrorKind::Invalid);
        assert_eq!(why.to_string(), "XDG_STATE_HOME: must be an absolute path, not `state`");
    }

    #[test]
    fn root_writes_nothing_into_the_home_of_a_user() {
        let why = folder(System::Unix, &[("HOME", &*absolute("/home/bob"))], Owner::Another).unwrap_err();
        assert!(why.to_string().contains("/home/bob belongs to another user"), "{why}");
    }

    #[cfg(unix)]
    #[test]
    fn the_owner_of_a_home_is_compared_with_the_user_of_the_program() {
        let ours = std::env::temp_dir().join(format!("portlease-home-{}", std::process::id()));
        std::fs::create_dir(&ours).unwrap();
        assert_eq!(owner(&ours), Owner::User);
        std::fs::remove_dir(&ours).unwrap();
        assert_eq!(owner(&ours), Owner::Nobody);
    }
}

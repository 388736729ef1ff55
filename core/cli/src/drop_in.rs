//! Where the drop-in libraries are, and how a program gets them. Linux only.

use std::env::{self, consts};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::iter;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::getxattr;
use rustix::process::{getgid, getuid};

use crate::outcome::{NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED};
use crate::output::Output;
use crate::run::RunArgs;

const FOLDER: &str = "portlease-compat";
/// The names that programs ask for: miniupnpc's two versions, and libnatpmp.
const LIBRARIES: [&str; 3] = ["libminiupnpc.so.17", "libminiupnpc.so.18", "libnatpmp.so.1"];
const VARIABLE: &str = "LD_LIBRARY_PATH";
const HOW_TO_INSTALL: &str = "\
install the Debian package portlease-compat, or run `make install-compat` in portlease's sources; --libraries names another folder";

/// Replaces this process by the program. If that fails, says why and returns the exit status.
pub(crate) fn start(args: &RunArgs) -> u8 {
    let output = Output::plain();
    let Some((program, arguments)) = args.program.split_first() else {
        return NOT_STARTED;
    };
    let variable = match libraries(args.libraries.as_deref()).and_then(|folder| search_path(&folder)) {
        Ok(variable) => variable,
        Err(lines) => {
            lines.into_iter().for_each(|line| output.note(line));
            return NOT_STARTED;
        }
    };
    let file = look_up(program, env::var_os("PATH"));
    if let Some(why) = file.as_deref().and_then(ignores_the_variable) {
        let name = program.display();
        output.warning(&format!(
            "{name} {why}, so the system ignores {VARIABLE}: it gets the system's own libraries, not portlease's"
        ));
    }
    let error = Command::new(program).args(arguments).env(VARIABLE, variable).exec();
    let (status, why) = explain(&error, program, file.is_some());
    output.note(format!("portlease: run: {}: {why}", program.display()));
    status
}

/// The folder with the libraries, or lines that say where there is none.
fn libraries(named: Option<&Path>) -> Result<PathBuf, Vec<String>> {
    let places = match named {
        Some(folder) => vec![folder.to_owned()],
        None => places(env::current_exe().ok().as_deref()),
    };
    let mut lines = vec!["portlease: run: no folder has all three libraries".to_owned()];
    for folder in places {
        // The program may change its working directory before it loads a library.
        match missing(&folder).and_then(|()| fs::canonicalize(&folder).map_err(|error| error.to_string())) {
            Ok(folder) => return Ok(folder),
            Err(why) => lines.push(format!("  {}: {why}", folder.display())),
        }
    }
    lines.push(format!("  try: {HOW_TO_INSTALL}"));
    Err(lines)
}

/// Where the folder may be: beside the folder of this program, then where the system's packages and `make` put it.
fn places(this_program: Option<&Path>) -> Vec<PathBuf> {
    let triplet = triplet();
    let mut places = Vec::new();
    if let Some(prefix) = this_program.and_then(Path::parent).and_then(Path::parent) {
        places.push(prefix.join("lib").join(FOLDER));
        places.push(prefix.join("lib").join(&triplet).join(FOLDER));
    }
    for fixed in [Path::new("/usr/lib").join(triplet).join(FOLDER), Path::new("/usr/local/lib").join(FOLDER)] {
        if !places.contains(&fixed) {
            places.push(fixed);
        }
    }
    places
}

/// Debian's name of this platform. A program with libraries is linked with glibc, also if this one is static.
fn triplet() -> String {
    match consts::ARCH {
        "x86" => "i386-linux-gnu".to_owned(),
        "arm" => "arm-linux-gnueabihf".to_owned(),
        "powerpc64" => "powerpc64le-linux-gnu".to_owned(),
        arch => format!("{arch}-linux-gnu"),
    }
}

/// Fails with what the folder lacks.
fn missing(folder: &Path) -> Result<(), String> {
    if !folder.is_dir() {
        return Err("there is no such folder".to_owned());
    }
    let missing: Vec<_> = LIBRARIES.into_iter().filter(|name| !folder.join(name).is_file()).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("lacks {}", missing.join(", "))) }
}

/// The value of the variable with the folder in front.
fn search_path(folder: &Path) -> Result<OsString, Vec<String>> {
    // An empty entry means the working directory, so an empty variable must not become one.
    let before = env::var_os(VARIABLE).filter(|value| !value.is_empty());
    let cannot = || format!("portlease: run: {}: {VARIABLE} cannot name a folder with `:` or `;`", folder.display());
    // The loader splits at both, whatever stands around them.
    if folder.as_os_str().as_bytes().iter().any(|byte| b":;".contains(byte)) {
        return Err(vec![cannot()]);
    }
    let mut value = folder.as_os_str().to_owned();
    for part in before.iter().flat_map(|before| [OsStr::new(":"), before]) {
        value.push(part);
    }
    Ok(value)
}

/// The file that the system will execute.
fn look_up(program: &OsStr, path: Option<OsString>) -> Option<PathBuf> {
    let is_executable =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0);
    if program.as_bytes().contains(&b'/') {
        return iter::once(PathBuf::from(program)).find(|file| file.exists());
    }
    env::split_paths(&path?).map(|folder| folder.join(program)).find(is_executable)
}

/// Why the loader will not look at the variable, if it will not: the program gets rights that its caller does not have.
fn ignores_the_variable(file: &Path) -> Option<&'static str> {
    let data = fs::metadata(file).ok()?;
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    if changes_identity(&data, user, group) {
        return Some("runs with the rights of another user or group (set-user-ID or set-group-ID)");
    }
    // Root has these rights anyway.
    let has_capabilities = || {
        let mut value = [0; 64];
        getxattr(file, "security.capability", &mut value).is_ok()
    };
    (user != 0 && has_capabilities()).then_some("has file capabilities")
}

fn changes_identity(data: &Metadata, user: u32, group: u32) -> bool {
    let is_set = |bits| data.mode() & bits == bits;
    // Without the right to execute, the bit of the group once meant mandatory locking.
    is_set(0o4000) && data.uid() != user || is_set(0o2010) && data.gid() != group
}

/// The exit status that shells and `env` have for this, and why.
fn explain(error: &io::Error, program: &OsStr, is_there: bool) -> (u8, String) {
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        let why = if is_there {
            "the interpreter that it names was not found"
        } else if program.as_bytes().contains(&b'/') {
            "there is no such file"
        } else {
            "there is no such program in the folders of PATH"
        };
        return (NOT_FOUND, why.to_owned());
    }
    let why = match kind == ErrorKind::PermissionDenied {
        true => "is not executable, or not for this user".to_owned(),
        false => format!("cannot be executed: {error}"),
    };
    (NOT_EXECUTABLE, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_looks_beside_itself_before_it_looks_at_the_system() {
        let triplet = triplet();
        let wanted = [
            "/opt/portlease/lib/portlease-compat".to_owned(),
            format!("/opt/portlease/lib/{triplet}/portlease-compat"),
            format!("/usr/lib/{triplet}/portlease-compat"),
            "/usr/local/lib/portlease-compat".to_owned(),
        ];
        assert_eq!(places(Some(Path::new("/opt/portlease/bin/portlease"))), wanted.map(PathBuf::from));
    }

    #[test]
    fn no_place_is_named_twice() {
        for program in ["/usr/bin/portlease", "/usr/local/bin/portlease"] {
            let places = places(Some(Path::new(program)));
            let mut once = places.clone();
            once.sort();
            once.dedup();
            assert_eq!(places.len(), once.len(), "{places:?}");
        }
    }
}

//! `portlease run`: the program gets the libraries and takes the place of the command.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::*;

const LIBRARIES: [&str; 3] = ["libminiupnpc.so.17", "libminiupnpc.so.18", "libnatpmp.so.1"];

/// A folder with files of the libraries' names.
fn libraries(folder: &Path) -> PathBuf {
    let libraries = folder.join("portlease-compat");
    fs::create_dir_all(&libraries).unwrap();
    LIBRARIES.iter().for_each(|name| fs::write(libraries.join(name), "").unwrap());
    libraries.canonicalize().unwrap()
}

/// `portlease run` with these libraries and this program.
fn with(libraries: &Path, program: &[&str]) -> Command {
    let mut command = command("run --libraries");
    command.arg(libraries).arg("--").args(program).env_remove("LD_LIBRARY_PATH");
    command
}

fn script(file: &Path, text: &str, mode: u32) {
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

/// The command itself, in this folder.
fn copy_of_the_command(folder: &Path) -> PathBuf {
    let (built, copy) = (env!("CARGO_BIN_EXE_portlease"), folder.join("portlease"));
    fs::hard_link(built, &copy).or_else(|_| fs::copy(built, &copy).map(drop)).unwrap();
    copy
}

/// Compiles C with cc, which rustc links with too.
fn compile(source: &str, to: &Path, arguments: &[&str]) {
    let file = to.with_extension("c");
    fs::write(&file, source).unwrap();
    let done = Command::new("cc").arg(&file).arg("-o").arg(to).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_program_loads_the_library_of_the_folder_instead_of_the_one_that_it_was_linked_with() {
    let folder = Folder::new("run-loads");
    let ours = libraries(folder.path());
    let theirs = folder.path().join("system");
    fs::create_dir(&theirs).unwrap();
    for (place, name) in [(&ours, "portlease"), (&theirs, "miniupnpc")] {
        let source = format!("const char *upnp_who(void) {{ return \"{name}\"; }}");
        let library = place.join("libminiupnpc.so.17");
        compile(&source, &library, &["-shared", "-fPIC", "-Wl,-soname,libminiupnpc.so.17"]);
    }
    let program = folder.path().join("program");
    let source = "#include <stdio.h>\nconst char *upnp_who(void);\nint main(void) { puts(upnp_who()); return 7; }";
    let search = format!("-L{}", theirs.display());
    compile(source, &program, &[&search, "-l:libminiupnpc.so.17"]);
    let program = program.to_str().unwrap();
    // The folder that the user has already named comes behind.
    let mut command = with(&ours, &[program]);
    command.env("LD_LIBRARY_PATH", &theirs);
    let ended = start(command).end();
    assert_eq!((ended.text().as_str(), ended.status), ("portlease", Some(7)), "{ended:?}");
    let mut alone = Command::new(program);
    alone.env("LD_LIBRARY_PATH", &theirs);
    assert_eq!(start(alone).end().text(), "miniupnpc");
}

#[test]
fn what_the_variable_had_is_kept_behind_the_folder() {
    let folder = Folder::new("run-variable");
    let libraries = libraries(folder.path());
    let ours = libraries.to_str().unwrap();
    for (before, after) in [
        (None, ours.to_owned()),
        (Some(""), ours.to_owned()),
        (Some("/a:/b"), format!("{ours}:/a:/b")),
        (Some("/a::/b"), format!("{ours}:/a::/b")),
    ] {
        let mut command = with(&libraries, &["sh", "-c", "echo $LD_LIBRARY_PATH"]);
        if let Some(before) = before {
            command.env("LD_LIBRARY_PATH", before);
        }
        assert_eq!(start(command).end().text(), after, "{before:?}");
    }
}

#[test]
fn the_program_has_the_commands_process_number_input_and_exit_status() {
    let folder = Folder::new("run-place");
    let libraries = libraries(folder.path());
    let mut running = start(with(&libraries, &["sh", "-c", "echo $$; read line; echo \"$line\"; exit 42"]));
    assert_eq!(running.line(), running.id().to_string());
    running.say("hello");
    let ended = running.end();
    assert_eq!((ended.text().as_str(), ended.status, ended.stderr.as_str()), ("hello", Some(42), ""));
}

#[test]
fn a_signal_to_the_command_is_one_to_the_program() {
    let folder = Folder::new("run-signal");
    let libraries = libraries(folder.path());
    let running = start(with(&libraries, &["sh", "-c", "trap 'echo heard; exit 3' TERM; echo ready; read line"]));
    assert_eq!(running.line(), "ready");
    running.signal("TERM");
    assert_eq!(running.line(), "heard");
    assert_eq!(running.end().status, Some(3));
    // A program that a signal ends has no exit status.
    assert_eq!(start(with(&libraries, &["sh", "-c", "kill -TERM $$"])).end().status, None);
}

#[test]
fn the_programs_options_are_its_own_also_without_dashes_before_it() {
    let folder = Folder::new("run-options");
    let libraries = libraries(folder.path());
    let arguments = ["--help", "-v", "--libraries", "x", "--", "-V"];
    let mut dashes = with(&libraries, &["printf", "%s."]);
    dashes.args(arguments);
    let mut none = command("run --libraries");
    none.arg(&libraries).args(["printf", "%s."]).args(arguments);
    for command in [dashes, none] {
        let ended = start(command).end();
        assert_eq!(ended.text(), "--help.-v.--libraries.x.--.-V.", "{ended:?}");
    }
}

#[test]
fn the_folder_may_be_named_from_the_working_directory_and_the_program_gets_its_whole_path() {
    let folder = Folder::new("run-relative");
    let libraries = libraries(folder.path());
    let mut command = with(Path::new("portlease-compat"), &["sh", "-c", "cd /; echo $LD_LIBRARY_PATH"]);
    command.current_dir(folder.path());
    assert_eq!(start(command).end().text(), libraries.to_str().unwrap());
}

#[test]
fn the_libraries_beside_the_command_are_found_through_a_link_to_it() {
    let folder = Folder::new("run-beside");
    let (bin, lib) = (folder.path().join("bin"), folder.path().join("lib"));
    fs::create_dir(&bin).unwrap();
    let libraries = libraries(&lib);
    let program = copy_of_the_command(&bin);
    let link = folder.path().join("link");
    symlink(&program, &link).unwrap();
    let mut command = homeless(link.to_str().unwrap());
    command.args(["run", "--", "sh", "-c", "echo $LD_LIBRARY_PATH"]).env_remove("LD_LIBRARY_PATH");
    let ended = start(command).end();
    assert_eq!(ended.text(), libraries.to_str().unwrap(), "{ended:?}");
}

#[test]
fn without_libraries_the_command_says_where_it_looked_and_what_installs_them() {
    let folder = Folder::new("run-none");
    let nowhere = folder.path().join("nowhere");
    let ended = start(with(&nowhere, &["echo", "started"])).end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(125), ""));
    for part in [nowhere.to_str().unwrap(), "there is no such folder", "portlease-compat", "make install-compat"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[test]
fn a_folder_that_lacks_a_library_is_not_used() {
    let folder = Folder::new("run-lacks");
    let libraries = libraries(folder.path());
    fs::remove_file(libraries.join("libnatpmp.so.1")).unwrap();
    // As a link is after the file behind it was removed.
    fs::remove_file(libraries.join("libminiupnpc.so.18")).unwrap();
    symlink("libportlease-compat.so.0", libraries.join("libminiupnpc.so.18")).unwrap();
    let ended = start(with(&libraries, &["echo", "started"])).end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(125), ""));
    assert!(ended.stderr.contains("lacks libminiupnpc.so.18, libnatpmp.so.1"), "{}", ended.stderr);
}

#[test]
fn a_folder_that_the_variable_cannot_name_is_refused() {
    let folder = Folder::new("run-colon");
    let ended = start(with(&libraries(&folder.path().join("a:b")), &["echo", "started"])).end();
    assert_eq!((ended.status, ended.text().as_str()), (Some(125), ""));
    assert!(ended.stderr.contains("LD_LIBRARY_PATH cannot name a folder with `:` or `;`"), "{}", ended.stderr);
}

#[test]
fn a_program_that_cannot_be_started_ends_as_under_a_shell_with_the_reason() {
    let folder = Folder::new("run-programs");
    let libraries = libraries(folder.path());
    let in_folder = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    script(&folder.path().join("plain"), "text", 0o644);
    script(&folder.path().join("orphan"), "#!/nosuch/interpreter\n", 0o755);
    for (program, status, part) in [
        (
            "nosuchprogram".to_owned(),
            127,
            "portlease: run: nosuchprogram: there is no such program in the folders of PATH",
        ),
        (in_folder("nosuch"), 127, "there is no such file"),
        (in_folder("orphan"), 127, "the interpreter that it names was not found"),
        (in_folder("plain"), 126, "is not executable"),
        (in_folder("portlease-compat"), 126, "is not executable"),
    ] {
        let ended = start(with(&libraries, &[&program])).end();
        assert_eq!(ended.status, Some(status), "{program}: {ended:?}");
        assert!(ended.stderr.contains(part), "{program}: {}", ended.stderr);
    }
}

#[test]
fn a_program_that_takes_on_rights_is_started_with_a_warning_that_it_will_not_see_the_libraries() {
    let folder = Folder::new("run-rights");
    let libraries = libraries(folder.path());
    let program = folder.path().join("echo");
    fs::copy("/bin/echo", &program).unwrap();
    if std::os::unix::fs::chown(&program, Some(65534), Some(65534)).is_err() {
        eprintln!("skipped: only root can give a file to another user");
        return;
    }
    for (mode, warns) in [(0o4755, true), (0o2755, true), (0o2745, false), (0o755, false)] {
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let ended = start(with(&libraries, &[program.to_str().unwrap(), "started"])).end();
        assert_eq!((ended.status, ended.text().as_str()), (Some(0), "started"), "{mode:o}: {ended:?}");
        assert_eq!(ended.stderr.contains("the system ignores LD_LIBRARY_PATH"), warns, "{mode:o}: {}", ended.stderr);
    }
}

#[test]
fn a_user_who_starts_a_program_with_file_capabilities_is_warned() {
    // Gives the file CAP_NET_RAW and becomes nobody.
    const SCRIPT: &str = "\
import os, sys
try:
    os.setxattr(sys.argv[1], 'security.capability', bytes.fromhex('0100000200200000000000000000000000000000'))
    os.setgid(65534), os.setuid(65534)
except OSError as error:
    sys.exit(print('skipped:', error))
os.execv(sys.argv[2], sys.argv[2:])";
    let folder = Folder::new("run-capabilities");
    let libraries = libraries(folder.path());
    let program = folder.path().join("echo");
    fs::copy("/bin/echo", &program).unwrap();
    let mut command = homeless("python3");
    command.args(["-c", SCRIPT]).arg(&program).arg(copy_of_the_command(folder.path()));
    command.args(["run", "--libraries"]).arg(libraries).arg(&program).arg("started");
    let ended = start(command).end();
    if ended.text().starts_with("skipped") {
        return eprintln!("{}", ended.text());
    }
    assert_eq!((ended.status, ended.text().as_str()), (Some(0), "started"), "{ended:?}");
    assert!(ended.stderr.contains("has file capabilities, so the system ignores LD_LIBRARY_PATH"), "{}", ended.stderr);
}

//! What a release rests on: one version, set by one command, and scripts that see what is missing.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

fn run(directory: &Path, command: &str, arguments: &[&str]) -> String {
    let done = Command::new(command).args(arguments).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "{command} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

#[test]
fn all_files_have_the_version_of_cargo_toml() {
    run(&checkout(), "bindings/release/version", &["--check"]);
    assert_eq!(run(&checkout(), "bindings/release/version", &[]).trim(), env!("CARGO_PKG_VERSION"));
}

/// A copy of what is in Git, changes included.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = Self(env::temp_dir().join(format!("portlease-version-{}", process::id())));
        for file in run(&checkout(), "git", &["ls-files", "--cached", "--others", "--exclude-standard"])
            .lines()
            .filter(|file| checkout().join(file).is_file())
        {
            let to = copy.0.join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(checkout().join(file), to).unwrap();
        }
        copy
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_new_version_leaves_nothing_of_the_old_one() {
    let (old, new) = (env!("CARGO_PKG_VERSION"), "7.8.9");
    let copy = Copy::new();
    run(&copy.0, "bindings/release/version", &[new]);
    assert!(fs::read_to_string(copy.0.join("CHANGELOG.md")).unwrap().contains("\n## 7.8.9 ("));
    // Cargo takes the tree as it is.
    let metadata = run(&copy.0, env!("CARGO"), &["metadata", "--locked", "--format-version", "1"]);
    assert!(metadata.contains(r#""name":"portlease-cli","version":"7.8.9""#));

    // Others may have the same version as the old one; the changelog tells of it, and Debian's list of symbols says which
    // version has brought each. So may modules of others on which Go's adapters stand.
    let number = format!(r"(^|[^0-9.]){}($|[^0-9.])", old.replace('.', r"\."));
    let left = Command::new("git")
        .args([
            "grep",
            "--no-index",
            "-nE",
            &number,
            "--",
            ".",
            ":!*.lock",
            ":!**/package-lock.json",
            ":!CHANGELOG.md",
            ":!**/*.symbols",
            ":!**/go.sum",
            ":!go/adapters/**/go.mod",
        ])
        .current_dir(&copy.0)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "add these places to bindings/release/version");
}

#[test]
fn what_checks_and_describes_the_release_does_so() {
    run(&checkout(), "python3", &["-B", "-m", "unittest", "-q", "bindings/release/tests/test_release.py"]);
}

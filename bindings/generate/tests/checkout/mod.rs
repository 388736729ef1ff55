//! The files of this checkout, for tests of what they say.
#![allow(unreachable_pub, missing_docs)]

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All files that are in Git or will be, and their folders.
pub fn files() -> BTreeSet<PathBuf> {
    let git = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
    let listed = String::from_utf8(git.stdout).unwrap();
    let exist = listed.split_terminator('\0').map(PathBuf::from).filter(|file| root().join(file).exists());
    exist.flat_map(|file| file.ancestors().map(Path::to_owned).collect::<Vec<_>>()).collect()
}

/// The Markdown files with their texts.
pub fn pages(files: &BTreeSet<PathBuf>) -> HashMap<PathBuf, String> {
    let markdown = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    markdown.map(|file| (file.clone(), fs::read_to_string(root().join(file)).unwrap())).collect()
}

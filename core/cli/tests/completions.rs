//! The completion scripts, in the shells that read them, as far as they are installed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::*;

/// What is typed before Tab, and the arguments that the command gets then.
const TYPED: [(&str, &str); 4] = [
    ("portlease do", "doctor"),
    ("portlease map --fam", "map --family"),
    ("portlease unmap --mi", "unmap --mine"),
    ("portlease map 4000/udp --family bo", "map 4000/udp --family both"),
];

/// A folder with the shell's script under this name; `None`, with a word about it, if the shell is not installed.
fn script_for(shell: &str, name: &str) -> Option<Folder> {
    if homeless(shell).arg("--version").output().is_err() {
        eprintln!("skipped: no {shell}");
        return None;
    }
    let folder = Folder::new(&format!("completions-{shell}"));
    let script = run(&format!("completions {shell}"));
    assert_eq!(script.status, Some(0), "{script:?}");
    fs::write(folder.path().join(name), script.text() + "\n").unwrap();
    Some(folder)
}

/// Types each beginning, Tab and Enter into a shell on a terminal, in which `portlease` is a function that shows its arguments.
/// `prepare` makes the shell read the script.
fn complete_on_a_terminal(shell: &str, prepare: &str) {
    let mut script = hearing_hangups("script");
    script.args(["-q", "-e", "-f", "-c", &format!("exec {shell}"), "/dev/null"]).env("TERM", "dumb");
    let mut running = start(script);
    let wait_for = |running: &Running, text: &str| while !running.line().contains(text) {};
    running.say(&format!("portlease() {{ echo \"<$*>\"; }}; {prepare}; echo read''y"));
    wait_for(&running, "ready");
    for (typed, arguments) in TYPED {
        running.say(&format!("{typed}\t"));
        wait_for(&running, &format!("<{arguments}>"));
    }
    running.say("exit 7");
    assert_eq!(running.end().status, Some(7));
}

#[test]
fn bash_completes_commands_options_and_values() {
    let Some(folder) = script_for("bash", "portlease") else { return };
    complete_on_a_terminal("bash --norc --noprofile", &format!("source {}/portlease", folder.path().display()));
}

#[test]
fn zsh_completes_commands_options_and_values() {
    let Some(folder) = script_for("zsh", "_portlease") else { return };
    let place = folder.path().display();
    complete_on_a_terminal("zsh -f", &format!("fpath=({place} $fpath); autoload -Uz compinit; compinit -u -D"));
}

#[test]
fn fish_completes_commands_options_and_values() {
    let Some(folder) = script_for("fish", "portlease.fish") else { return };
    for (typed, arguments) in TYPED {
        let mut fish = homeless("fish");
        // It keeps its settings at home.
        fish.env("HOME", folder.path());
        fish.args(["-N", "-c", &format!("source {}/portlease.fish; complete -C '{typed}'", folder.path().display())]);
        let ended = start(fish).end();
        let last = arguments.rsplit(' ').next().unwrap();
        let words: Vec<_> = ended.stdout.iter().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(words, [last], "{typed}: {ended:?}");
    }
}

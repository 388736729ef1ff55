//! Plays the scenarios of `tests/scenarios` through a testee, a small program in the language to be tested. The README
//! there has the format of a scenario and what a testee is told.

mod format;
mod matching;
mod play;
mod surface;
mod testee;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use format::Scenario;
use libtest_mimic::{Arguments, Failed, Trial};
use play::Failure;
use portlease_gateway::{Gateway, GatewayConfig};
use surface::Surface;
use testee::Testee;

/// Scenarios mostly wait for lifetimes to run out, so more of them run at once than there are processors.
const THREADS: usize = 8;
/// How much longer than the call's own limit an answer may take, in seconds: a testee starts slowly on a busy machine.
const PATIENCE: u64 = 60;

/// The command line of the runner: `--testee COMMAND [--label NAME] [--patience SECONDS]` and what any test of Rust takes.
pub fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let mut rest: Vec<String> = arguments.into_iter().collect();
    let command = option(&mut rest, "--testee");
    let label = option(&mut rest, "--label").unwrap_or_default();
    let patience = option(&mut rest, "--patience").map_or(Ok(PATIENCE), |text| text.parse());
    let mut arguments = Arguments::from_iter(rest);
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    let (Some(command), Ok(patience)) = (command, patience) else {
        return complain("usage: portlease-scenarios --testee COMMAND [--label NAME] [--patience SECONDS] [FILTER]");
    };
    let testee = if arguments.list { "true" } else { &command };
    let testee = match Testee::start(testee, Duration::from_secs(patience)) {
        Ok(testee) => Arc::new(testee),
        Err(error) => return complain(&format!("`{command}` does not start: {error}")),
    };
    let trials = trials(&testee).into_iter().map(|trial| trial.with_kind(&label)).collect();
    let played = libtest_mimic::run(&arguments, trials).exit_code();
    match testee.end() {
        Err(reason) if !arguments.list => complain(&reason),
        _ => played,
    }
}

#[expect(clippy::print_stderr, reason = "this is what a command says")]
fn complain(reason: &str) -> ExitCode {
    eprintln!("scenarios: {reason}");
    ExitCode::from(2)
}

/// Takes an option and its value out of the command line.
fn option(arguments: &mut Vec<String>, name: &str) -> Option<String> {
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.drain(at..(at + 2).min(arguments.len())).nth(1)
}

fn trials(testee: &Arc<Testee>) -> Vec<Trial> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let right = files(folder).into_iter().map(|path| (path, false));
    let wrong = files(&folder.join("must_fail")).into_iter().map(|path| (path, true));
    let all: Vec<(PathBuf, bool)> = right.chain(wrong).collect();
    let counts = (all.iter().filter(|(_, wrong)| !wrong).count(), all.iter().filter(|(_, wrong)| *wrong).count());
    let no_ipv6 = no_ipv6();
    if let Some(reason) = &no_ipv6 {
        complain(&format!("those for IPv6 are skipped: {reason}"));
    }
    let trial = |(number, file)| trial(number, file, testee.clone(), no_ipv6.is_some());
    let mut trials: Vec<Trial> = (1..).zip(all).map(trial).collect();
    trials.push(Trial::test("there are scenarios of both sorts", move || {
        if counts.0 < 25 || counts.1 < 5 { Err(format!("found only {counts:?}").into()) } else { Ok(()) }
    }));
    trials
}

/// Why the simulated gateway has no IPv6 on this machine, if it has none.
fn no_ipv6() -> Option<String> {
    let settings = GatewayConfig { ipv6: true, ..GatewayConfig::default() };
    // If it does not start at all, each scenario says so.
    Gateway::start(settings).ok()?.addresses().no_ipv6
}

/// The JSON files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    files
}

/// One file as a test, whose name is the file's name and the scenario's sentence. Without IPv6 those that need it are skipped.
fn trial(number: u32, (path, wrong): (PathBuf, bool), testee: Arc<Testee>, without_ipv6: bool) -> Trial {
    let surface = Surface::read();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let scenario = Scenario::parse(&text, &surface);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let sentence = scenario.as_ref().map_or("cannot be read", |scenario| &scenario.name);
    let title = format!("{}{stem}: {sentence}", if wrong { "must fail: " } else { "" });
    let skipped =
        without_ipv6 && scenario.as_ref().is_ok_and(|scenario| scenario.gateway.get("ipv6") == Some(&true.into()));
    let trial = Trial::test(title, move || {
        match (scenario, wrong) {
            (Ok(scenario), false) => {
                play::play(number, &scenario, &testee, &surface).map_err(|failure| failure.reason.into())
            }
            (Ok(scenario), true) => noticed(play::play(number, &scenario, &testee, &surface), &scenario),
            (Err(reason), false) => Err(reason.into()),
            // If the file cannot be read, its mistake is noticed already.
            (Err(_), true) => Ok(()),
        }
    });
    trial.with_ignored_flag(skipped)
}

/// A scenario that says something wrong must fail for that, and at the right place.
fn noticed(played: Result<(), Failure>, scenario: &Scenario) -> Result<(), Failed> {
    match (played, &scenario.fails_at) {
        (Ok(()), _) => Err("this scenario is wrong, and the runner did not notice".into()),
        (Err(failure), _) if failure.of_testee => Err(failure.reason.into()),
        (Err(failure), Some(place)) if failure.at != *place => {
            Err(format!("it should fail at {place}, not at {}: {}", failure.at, failure.reason).into())
        }
        (Err(_), _) => Ok(()),
    }
}

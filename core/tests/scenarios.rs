//! Runs every scenario of `tests/scenarios`, each as a test of its own. The README there has the format.

#[path = "scenarios/format.rs"]
mod format;
#[path = "scenarios/matching.rs"]
mod matching;
#[path = "scenarios/run.rs"]
mod run;
#[path = "scenarios/view.rs"]
mod view;

use std::path::{Path, PathBuf};

use format::Scenario;
use libtest_mimic::{Arguments, Trial};
use run::Failure;

/// Scenarios mostly wait for lifetimes to run out, so many more of them run at once than there are processors.
const THREADS: usize = 8;

fn main() -> std::process::ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios");
    let mut trials: Vec<Trial> = files(&folder).into_iter().map(scenario).collect();
    trials.extend(files(&folder.join("must_fail")).into_iter().map(wrong_scenario));
    trials.push(Trial::test("there are scenarios of both sorts", move || {
        let counts = (files(&folder).len(), files(&folder.join("must_fail")).len());
        if counts.0 < 25 || counts.1 < 5 {
            Err(format!("found {counts:?} in {}", folder.display()).into())
        } else {
            Ok(())
        }
    }));
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(THREADS));
    libtest_mimic::run(&arguments, trials).exit_code()
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

fn read(path: &Path) -> Result<Scenario, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok(Scenario::parse(&text)?)
}

/// The file's name and the scenario's sentence; the name alone where the file cannot be read, which the test says then.
fn title(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    match serde_json::from_str::<serde_json::Value>(&text).ok().as_ref().and_then(|json| json["name"].as_str()) {
        Some(name) => format!("{stem}: {name}"),
        None => stem,
    }
}

fn scenario(path: PathBuf) -> Trial {
    Trial::test(title(&path), move || match read(&path).and_then(|scenario| run::run(&scenario)) {
        Ok(()) => Ok(()),
        Err(failure) => Err(failure.reason.into()),
    })
}

/// A scenario that says something wrong: the runner must notice, and at the right place.
fn wrong_scenario(path: PathBuf) -> Trial {
    Trial::test(format!("must fail: {}", title(&path)), move || {
        // What cannot even be read is noticed already, so it names no place.
        let Ok(scenario) = read(&path) else { return Ok(()) };
        match (run::run(&scenario), &scenario.fails_at) {
            (Ok(()), _) => Err("this scenario is wrong, and the runner did not notice".into()),
            (Err(failure), Some(place)) if failure.at != *place => {
                Err(format!("it should fail at {place}, not at {}: {}", failure.at, failure.reason).into())
            }
            (Err(_), _) => Ok(()),
        }
    })
}

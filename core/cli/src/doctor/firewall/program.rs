//! Runs a program that only shows something, for a bounded time.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take.
const DEADLINE: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// More than any sensible rule set.
const MAX_OUTPUT: u64 = 4 << 20;

/// What a program has said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is not installed.
    #[default]
    Absent,
    Said(String),
    /// Why it says nothing.
    Failed(String),
}

impl Answer {
    /// What `read` makes of it. `Err(None)`: there is no such program.
    pub(super) fn read<T>(&self, read: impl FnOnce(&str) -> T) -> Result<T, Option<String>> {
        match self {
            Self::Said(text) => Ok(read(text)),
            Self::Failed(why) => Err(Some(why.clone())),
            Self::Absent => Err(None),
        }
    }

    /// In a word or a line.
    pub(super) fn short(&self) -> String {
        match self {
            Self::Absent => "not installed".to_owned(),
            Self::Said(text) if text.len() <= 60 => text.trim().lines().next().unwrap_or("answered").to_owned(),
            Self::Said(_) => "answered".to_owned(),
            Self::Failed(why) => why.clone(),
        }
    }
}

pub(super) async fn ask(program: &'static str, arguments: &'static [&'static str]) -> Answer {
    let asking = tokio::task::spawn_blocking(move || ask_now(program, arguments)).await;
    asking.unwrap_or_else(|error| Answer::Failed(format!("{program}: {error}")))
}

fn ask_now(program: &str, arguments: &[&str]) -> Answer {
    let Some(path) = find(program) else { return Answer::Absent };
    let mut command = Command::new(path);
    // In English, so that the answer can be read.
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Answer::Failed(format!("{program} could not be started: {error}")),
    };
    let (out, err) = (child.stdout.take().map(read), child.stderr.take().map(read));
    let ended = wait(&mut child);
    let text = |reader: Option<std::thread::JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    match ended {
        Some(true) => Answer::Said(text(out)),
        Some(false) => Answer::Failed(complaint(program, &(text(out) + &text(err)))),
        // Its pipes may be held open by a child of its own, so they are not waited for.
        None => Answer::Failed(format!("{program} did not answer within {} s", DEADLINE.as_secs())),
    }
}

fn read(stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is as much as there is.
        let _ = stream.take(MAX_OUTPUT).read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Whether it succeeded; `None` if it had to be ended.
fn wait(child: &mut Child) -> Option<bool> {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) => std::thread::sleep(LOOK),
            Err(_) => break,
        }
    }
    // It may have ended by itself meanwhile.
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn complaint(program: &str, text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if ["not permitted", "permission denied", "root", "not authorized", "privilege"]
        .iter()
        .any(|word| lower.contains(word))
    {
        return format!("{program} needs root");
    }
    format!("{program} failed: {}", text.lines().next().unwrap_or("no reason given").trim())
}

/// The folders of administrators are often not in a user's PATH.
fn find(program: &str) -> Option<PathBuf> {
    if Path::new(program).is_absolute() {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    if cfg!(windows) {
        let root = std::env::var_os("SystemRoot")?;
        return Some(Path::new(&root).join("System32").join(format!("{program}.exe"))).filter(|path| path.is_file());
    }
    let named = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&named).filter(|folder| folder.is_absolute()).collect::<Vec<_>>();
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    folders.into_iter().chain(more).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let begin = Instant::now();
        assert_eq!(ask_now("sleep", &["60"]), Answer::Failed("sleep did not answer within 3 s".to_owned()));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_program_that_fails_says_why() {
        assert_eq!(ask_now("no-such-program-here", &[]), Answer::Absent);
        assert_eq!(ask_now("echo", &["hello"]), Answer::Said("hello\n".to_owned()));
        assert!(matches!(ask_now("ls", &["/no-such-folder"]), Answer::Failed(why) if why.starts_with("ls failed: ")));
        assert_eq!(complaint("nft", "Operation not permitted (you must be root)"), "nft needs root");
    }
}

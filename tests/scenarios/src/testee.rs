//! The testee: a process that is told what to call, one JSON object a line, and answers with what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::format::Object;

/// How many of the last lines on its stderr are shown.
const SHOWN: usize = 30;
/// How long they are waited for after the last answer.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running testee. Many scenarios ask it at once: each command has a number, and the answer repeats it.
pub(crate) struct Testee {
    command: String,
    child: Mutex<Child>,
    /// To the thread that writes; dropping it closes the testee's input.
    lines: Mutex<Option<Sender<String>>>,
    reader: Mutex<Option<JoinHandle<()>>>,
    heard: Arc<Heard>,
    patience: Duration,
}

/// What the threads that read have heard from it.
struct Heard {
    /// Who waits for which answer; or why no more answers come.
    waiting: Mutex<Result<BTreeMap<u64, Sender<Value>>, String>>,
    stderr: Mutex<VecDeque<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Testee {
    /// Runs a command of the shell. `patience`: how much longer than the call's own limit an answer may take.
    pub(crate) fn start(command: &str, patience: Duration) -> std::io::Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipe = || std::io::Error::other("a pipe is missing");
        let mut stdin = child.stdin.take().ok_or_else(pipe)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(pipe)?);
        let stderr = BufReader::new(child.stderr.take().ok_or_else(pipe)?);
        let heard = Arc::new(Heard { waiting: Mutex::new(Ok(BTreeMap::new())), stderr: Mutex::default() });
        let (lines, to_write) = channel::<String>();
        // In a thread of its own, so that nothing waits for a testee that does not read.
        spawn(move || to_write.iter().try_for_each(|line| stdin.write_all(line.as_bytes())));
        let (complaints, answers) = (heard.clone(), heard.clone());
        let (at_its_end, stderr_ends) = channel::<()>();
        spawn(move || {
            complaints.read_stderr(stderr);
            drop(at_its_end);
        });
        let reader = spawn(move || {
            let reason = answers.read_answers(stdout).unwrap_or_else(|| {
                // Its last words may come a little later.
                let _ = stderr_ends.recv_timeout(LAST_WORDS);
                "the testee has ended".into()
            });
            *lock(&answers.waiting) = Err(reason);
        });
        let (child, lines, reader) = (Mutex::new(child), Mutex::new(Some(lines)), Mutex::new(Some(reader)));
        Ok(Self { command: command.to_owned(), child, lines, reader, heard, patience })
    }

    /// Starts another one like this.
    pub(crate) fn another(&self) -> std::io::Result<Self> {
        Self::start(&self.command, self.patience)
    }

    /// Kills it: no code of it runs any more. Returns when the system has taken everything away from it.
    pub(crate) fn kill(&self) -> std::io::Result<()> {
        let mut child = lock(&self.child);
        child.kill()?;
        child.wait().map(drop)
    }

    /// Has a call made that takes `limit` at most, and gives the answer. Fails if the testee does not answer.
    pub(crate) fn ask(&self, mut command: Object, number: u64, limit: Duration) -> Result<Value, String> {
        command.insert("id".into(), number.into());
        let (sender, answer) = channel();
        match &mut *lock(&self.heard.waiting) {
            Ok(waiting) => drop(waiting.insert(number, sender)),
            Err(_) => drop(sender), // the receiver notices
        }
        if let Some(lines) = &*lock(&self.lines) {
            // If the testee reads no more, no answer comes, and that is reported.
            let _ = lines.send(format!("{}\n", Value::Object(command)));
        }
        let limit = limit + self.patience;
        match answer.recv_timeout(limit) {
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.with_stderr(&format!("the testee does not answer within {limit:?}")))
            }
            Err(RecvTimeoutError::Disconnected) => {
                let reason = lock(&self.heard.waiting).as_ref().err().cloned();
                Err(self.with_stderr(&reason.unwrap_or_default()))
            }
        }
    }

    fn with_stderr(&self, reason: &str) -> String {
        let stderr = lock(&self.heard.stderr);
        let said: String = stderr.iter().map(|line| format!("\n    {line}")).collect();
        format!("{reason}{}{said}", if said.is_empty() { "" } else { "; the end of its stderr:" })
    }

    /// Closes its input, at which it must end with status 0.
    pub(crate) fn end(&self) -> Result<(), String> {
        drop(lock(&self.lines).take());
        let end = Instant::now() + self.patience;
        let mut child = lock(&self.child);
        let status = loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break status,
                None if Instant::now() < end => sleep(Duration::from_millis(20)),
                None => {
                    let _ = child.kill();
                    return Err(self.with_stderr("the testee does not end when its input does"));
                }
            }
        };
        if status.success() {
            return Ok(());
        }
        let _ = lock(&self.reader).take().map(JoinHandle::join);
        Err(self.with_stderr(&format!("the testee ended with {status}")))
    }
}

impl Heard {
    /// Hands out the answers until there are no more. `Some`: why what it says cannot be understood.
    fn read_answers(&self, lines: impl BufRead) -> Option<String> {
        for line in lines.lines() {
            let line = line.unwrap_or_default();
            let answer: Value = serde_json::from_str(&line).unwrap_or_default();
            let waiting = match (answer["id"].as_u64(), &mut *lock(&self.waiting)) {
                (Some(number), Ok(waiting)) => waiting.remove(&number),
                _ => None,
            };
            match waiting {
                // If the scenario has waited long enough, nobody is there any more.
                Some(waiting) => drop(waiting.send(answer)),
                None => return Some(format!("the testee said what is no answer: {line}")),
            }
        }
        None
    }

    /// Passes it on, and keeps its end.
    #[expect(clippy::print_stderr, reason = "the testee says it, not this crate")]
    fn read_stderr(&self, lines: impl BufRead) {
        for line in lines.lines().map_while(Result::ok) {
            eprintln!("{line}");
            let mut kept = lock(&self.stderr);
            kept.push_back(line);
            if kept.len() > SHOWN {
                kept.pop_front();
            }
        }
    }
}

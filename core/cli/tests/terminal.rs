//! The status lines of `portlease map` on a terminal, as tmux shows it.
#![cfg(target_os = "linux")]

mod common;

use std::process::Command;
use std::time::Instant;

use common::*;
use portlease_gateway::Gateway;

/// A terminal with a server of its own, which ends with this.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs `portlease` with these arguments in a terminal of that size. `None`, with a word about it, without tmux.
    fn run(name: &str, columns: u16, rows: u16, line: &str, gateway: &Gateway) -> Option<Self> {
        Self::run_with(name, columns, rows, line, gateway, "")
    }

    /// The same with something after the flags that lead to the gateway.
    fn run_with(name: &str, columns: u16, rows: u16, line: &str, gateway: &Gateway, more: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: there is no tmux");
            return None;
        }
        let terminal = Self { socket: format!("portlease-{name}-{}", std::process::id()) };
        let flags = flags(gateway).join(" ");
        let program = format!(
            "trap : INT; {} {line} {flags} {more}; echo the end; exec sleep 600",
            env!("CARGO_BIN_EXE_portlease")
        );
        let size = format!("-x {columns} -y {rows}");
        let mut tmux = terminal.tmux("-f /dev/null new-session -d");
        let status = tmux.args(size.split(' ')).args(["sh", "-c", &program]).status().expect("tmux");
        assert!(status.success());
        Some(terminal)
    }

    fn tmux(&self, arguments: &str) -> Command {
        let mut command = homeless("tmux");
        command.args(["-L", &self.socket]).args(arguments.split(' ')).env_remove("TMUX");
        command
    }

    fn tell(&self, arguments: &str) {
        assert!(self.tmux(arguments).status().expect("tmux").success(), "{arguments}");
    }

    /// The lines that it shows. Not those that have left it at the top: no program can change them.
    fn lines(&self) -> Vec<String> {
        let shown = self.tmux("capture-pane -p").output().expect("tmux");
        let text = String::from_utf8(shown.stdout).expect("text");
        let mut lines: Vec<_> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// Waits until it shows what is expected.
    #[track_caller]
    fn shows(&self, what: &str, expected: impl Fn(&[String]) -> bool) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            if expected(&lines) {
                return lines;
            }
            assert!(Instant::now() < end, "{what}: {lines:#?}");
            std::thread::yield_now();
        }
    }

    /// Waits until the last line tells another time than now, so it was drawn anew.
    #[track_caller]
    fn is_drawn_anew(&self) -> Vec<String> {
        let before = self.lines().pop();
        self.shows("drawn anew", |lines| lines.last() != before.as_ref())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It has ended already if the test has failed early.
        let _ = self.tmux("kill-server").output();
    }
}

/// Whether this is the status line of port 4000.
fn is_status(line: &str) -> bool {
    line.starts_with("4000/udp  192.0.1.1:4000  pcp  renew")
}

fn statuses(lines: &[String]) -> usize {
    lines.iter().filter(|line| is_status(line)).count()
}

#[test]
fn enter_leaves_the_status_line_alone() {
    let gateway = gateway();
    let Some(terminal) = Terminal::run("enter", 100, 20, "map 4000/udp", &gateway) else { return };
    let before = terminal.shows("mapped", |lines| lines.last().is_some_and(|line| is_status(line)));
    for _ in 0..3 {
        terminal.tell("send-keys Enter");
        terminal.tell("send-keys x Enter");
        let lines = terminal.is_drawn_anew();
        assert_eq!((statuses(&lines), lines.len()), (1, before.len()), "{lines:#?}");
    }
    terminal.tell("send-keys C-c");
    let lines = terminal.shows("the end", |lines| lines.iter().any(|line| line == "the end"));
    assert_eq!(statuses(&lines), 0, "{lines:#?}");
    terminal.tell("send-keys y");
    terminal.shows("what is typed after it", |lines| lines.iter().any(|line| line == "y"));
}

#[test]
fn a_terminal_that_is_resized_shows_each_status_line_once() {
    let gateway = gateway();
    let Some(terminal) = Terminal::run("resize", 100, 20, "map 4000/udp 4001/udp", &gateway) else { return };
    terminal.shows("mapped", |lines| lines.last().is_some_and(|line| line.contains("renewal in")));
    for columns in [30, 12, 60, 120] {
        terminal.tell(&format!("resize-window -x {columns}"));
        let lines = terminal.shows("drawn anew", |lines| {
            let last = lines.last().map(String::as_str).unwrap_or_default();
            last.starts_with("4001/udp") && (last.len() == columns - 1 || last.contains("renewal in"))
        });
        let shown = lines.iter().filter(|line| line.starts_with("4000/udp  1")).count();
        assert_eq!(shown, 1, "{columns}: {lines:#?}");
    }
}

#[test]
fn more_ports_than_rows_end_with_how_many_more_there_are() {
    let gateway = gateway();
    let Some(terminal) = Terminal::run("rows", 100, 8, "map 4000-4019/udp", &gateway) else { return };
    let shown = |lines: &[String]| lines.iter().filter(|line| line.contains("  pcp  ")).count();
    let ends_with = |lines: &[String], end: &str| lines.last().is_some_and(|line| line == end);
    // A row for the latest message, and one for the cursor.
    let lines = terminal.shows("all rows", |lines| ends_with(lines, "and 15 more") && shown(lines) == 5);
    assert!(lines.len() == 7 && lines[0].contains(" mapped to "), "{lines:#?}");
    terminal.tell("resize-window -y 12");
    terminal.shows("more rows", |lines| ends_with(lines, "and 11 more") && shown(lines) == 9);
}

#[test]
fn ctrl_c_reaches_a_program_once() {
    const PYTHON: &str = "\
import signal
count = 0
def interrupted(*_):
    global count
    count += 1
    print(f'interrupted {count}', flush=True)
signal.signal(signal.SIGINT, interrupted)
print('ready', flush=True)
input()
print(f'in all {count}', flush=True)
";
    let gateway = gateway();
    let folder = Folder::new("ctrl-c");
    let program = folder.path().join("program.py");
    std::fs::write(&program, PYTHON).unwrap();
    let more = format!("-- python3 {}", program.display());
    let Some(terminal) = Terminal::run_with("ctrl-c", 100, 20, "map 4000/udp", &gateway, &more) else { return };
    let says = |text: &str| terminal.shows(text, |lines| lines.iter().any(|line| line.ends_with(text)));
    says("ready");
    terminal.tell("send-keys C-c");
    says("interrupted 1");
    terminal.tell("send-keys C-c");
    says("interrupted 2");
    // What is typed is shown, and is the program's.
    terminal.tell("send-keys typed Enter");
    says("in all 2");
    let lines = says("the end");
    assert!(
        lines.iter().any(|line| line == "4000/udp released") && lines.iter().any(|line| line.ends_with("typed")),
        "{lines:#?}"
    );
    assert!(gateway.mappings().is_empty());
}

//! Plays every scenario in Rust, each as a test of its own.

fn main() -> std::process::ExitCode {
    let testee = ["--testee", env!("CARGO_BIN_EXE_portlease-testee"), "--label", "rust"].map(str::to_owned);
    portlease_scenarios::run(std::env::args().chain(testee))
}

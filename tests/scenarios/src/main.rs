//! The runner: `portlease-scenarios --testee COMMAND [--label NAME] [FILTER]`.

fn main() -> std::process::ExitCode {
    portlease_scenarios::run(std::env::args())
}

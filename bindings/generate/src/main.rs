//! `portlease-generate` writes all generated files; with `--check` it names those that are not fresh, and fails.

use std::process::ExitCode;

use portlease_generate::{generate, root, stale};

fn main() -> ExitCode {
    let files = match generate() {
        Ok(files) => files,
        Err(error) => {
            eprintln!("generate: {error}");
            return ExitCode::FAILURE;
        }
    };
    let stale = stale(&files);
    let check = std::env::args().any(|argument| argument == "--check");
    for (path, text) in files.iter().filter(|(path, _)| stale.contains(&path.as_str())) {
        eprintln!("generate: {path}{}", if check { " is stale: run make generate" } else { "" });
        if let (false, Err(error)) = (check, std::fs::write(root().join(path), text)) {
            eprintln!("generate: {path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    if check && !stale.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

//! Error messages in the hosts' spelling.

use portlease::{ErrorKind, ErrorReport};

/// The message of a failure; the argument that it names is spelled as in Kotlin and Swift, `internalPort`.
pub(crate) fn message(report: &ErrorReport) -> String {
    match report.message.split_once(": ") {
        Some((argument, rest)) if report.kind == ErrorKind::Invalid => format!("{}: {rest}", camel_case(argument)),
        _ => report.message.clone(),
    }
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (initial, rest) = word.split_at(word.len().min(1));
        name + &initial.to_uppercase() + rest
    })
}

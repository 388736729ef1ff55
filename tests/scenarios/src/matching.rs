//! Whether what was seen is what was expected.

use serde_json::{Map, Value};

/// The words of a condition, as opposed to the fields of a result.
const CONDITIONS: [&str; 5] = ["at_least", "at_most", "contains", "not", "one_of"];

/// Why `actual` is not as expected; `None` where it is. `path` says which part of the result this is about.
pub(crate) fn mismatch(path: &str, expected: &Value, actual: &Value) -> Option<String> {
    let differs = || Some(format!("{path}: expected {expected}, got {actual}"));
    match expected {
        Value::Object(words) if is_condition(words) => {
            let unmet = words.iter().find(|(word, argument)| !holds(word, argument, actual))?;
            Some(format!("{path}: expected {} {}, got {actual}", unmet.0, unmet.1))
        }
        Value::Object(fields) => {
            let Value::Object(found) = actual else { return differs() };
            fields.iter().find_map(|(name, expected)| match found.get(name) {
                Some(actual) => mismatch(&format!("{path}.{name}"), expected, actual),
                None => Some(format!("{path}: there is no field {name} in {actual}")),
            })
        }
        Value::Array(items) => match actual {
            Value::Array(found) if found.len() == items.len() => {
                let pairs = items.iter().zip(found).enumerate();
                pairs.into_iter().find_map(|(i, (item, found))| mismatch(&format!("{path}[{i}]"), item, found))
            }
            _ => differs(),
        },
        _ if same(expected, actual) => None,
        _ => differs(),
    }
}

fn is_condition(words: &Map<String, Value>) -> bool {
    !words.is_empty() && words.keys().all(|word| CONDITIONS.contains(&word.as_str()))
}

fn holds(word: &str, argument: &Value, actual: &Value) -> bool {
    let number = |compare: fn(&f64, &f64) -> bool| match (argument.as_f64(), actual.as_f64()) {
        (Some(argument), Some(actual)) => compare(&actual, &argument),
        _ => false,
    };
    match word {
        "at_least" => number(f64::ge),
        "at_most" => number(f64::le),
        "contains" => matches!((argument.as_str(), actual.as_str()), (Some(part), Some(whole)) if whole.contains(part)),
        "not" => mismatch("", argument, actual).is_some(),
        "one_of" => {
            argument.as_array().is_some_and(|options| options.iter().any(|o| mismatch("", o, actual).is_none()))
        }
        _ => false,
    }
}

/// 2 and 2.0 are the same number.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

//! What Rust cannot say: `data.toml`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::text::plain;
use crate::{Result, root};

/// Names or texts by language, and in each by item: `Config`, `Config.pcp_port`, `ErrorKind.Refused`.
type ByLanguage = BTreeMap<String, BTreeMap<String, String>>;

/// The contents of `data.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    names: ByLanguage,
    docs: ByLanguage,
    /// The enums of C.
    pub c: C,
    /// The fields that have no default.
    pub required: Vec<String>,
    /// The durations for which 0 means never. C and Go have a negative number for that, because 0 is the default there.
    pub never: Vec<String>,
    /// The methods that Rust alone has.
    pub rust_only: Vec<String>,
    #[serde(skip)]
    used: RefCell<BTreeSet<(&'static str, String)>>,
}

/// What C's binary interface fixes for ever.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct C {
    /// The stable strings of each enum with their numbers. Append only; a number is never used again.
    pub numbers: BTreeMap<String, BTreeMap<String, u32>>,
    /// Values of C alone: no error, and nothing at all.
    pub extra: BTreeMap<String, Vec<Extra>>,
    /// The order of each struct's fields. Append only.
    pub fields: BTreeMap<String, Vec<String>>,
    /// How many of them each struct had when it was first released.
    pub first: BTreeMap<String, usize>,
}

/// A value of an enum that C alone has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extra {
    /// The name, without what all names of the enum begin with.
    pub name: String,
    /// The number.
    pub number: u32,
    /// The documentation.
    pub docs: String,
    /// The stable string, where it has one.
    #[serde(default)]
    pub text: String,
}

impl Data {
    /// Reads `data.toml`.
    pub(crate) fn read() -> Result<Self> {
        let path = root().join("bindings/generate/data.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("data.toml: {error}"))?;
        toml::from_str(&text).map_err(|error| format!("data.toml: {error}"))
    }

    /// How a language calls an item, where that does not follow from its name in Rust.
    pub(crate) fn name(&self, language: &'static str, item: &str) -> Option<&str> {
        self.used.borrow_mut().insert((language, item.to_owned()));
        self.names.get(language)?.get(item).map(String::as_str)
    }

    /// The documentation of an item in a language: `docs` without Rust's links, unless the language has its own.
    pub(crate) fn docs(&self, language: &'static str, item: &str, docs: &str) -> String {
        self.used.borrow_mut().insert((language, item.to_owned()));
        self.docs.get(language).and_then(|own| own.get(item)).map_or_else(|| plain(docs), Clone::clone)
    }

    /// Fails for an entry that nobody asked for: most often one of an item that there is no more.
    pub(crate) fn check_all_used(&self) -> Result<()> {
        let used = self.used.borrow();
        for (language, items) in self.names.iter().chain(&self.docs) {
            for item in items.keys() {
                if !used.iter().any(|(of, name)| of == language && name == item) {
                    return Err(format!("data.toml: nobody uses {item} of {language}"));
                }
            }
        }
        Ok(())
    }
}

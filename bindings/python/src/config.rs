//! The settings of a mapper, from keyword arguments.

use portlease::Config;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::exception::wrong_type;
use crate::settings::{self, SETTINGS};

/// Reads a dict of settings by name; `None` is the default.
pub(crate) fn config(settings: &Bound<'_, PyDict>) -> PyResult<Config> {
    let given = PyDict::new(settings.py());
    for (name, value) in settings {
        let name = name.extract::<String>()?;
        if !SETTINGS.contains(&name.as_str()) {
            let message = format!("there is no such setting; the settings are {}", SETTINGS.join(", "));
            return Err(wrong_type(settings.py(), &name, &message));
        }
        if !value.is_none() {
            given.set_item(name, value)?;
        }
    }
    settings::config(&given)
}

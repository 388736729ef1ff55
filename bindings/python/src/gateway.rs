//! The simulated gateway, in this process. Everything but its start and end goes by its JSON lines.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use portlease::PortMappingError;
use portlease_gateway::{Faults, Gateway as Simulated, GatewayConfig, GatewayError, json};
use pyo3::prelude::*;
use serde_json::{Map, Value};

use crate::error::Raise;
use crate::exception::invalid;
use crate::fork::Handle;

/// A home router on loopback.
#[pyclass(frozen, module = "portlease._portlease")]
pub(crate) struct Gateway(Handle<RwLock<Option<Simulated>>>);

impl Gateway {
    fn read(&self) -> RwLockReadGuard<'_, Option<Simulated>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls something of a gateway that has neither stopped nor stayed behind in the parent process.
    fn with<T: Send>(&self, py: Python<'_>, call: impl FnOnce(&Simulated) -> T + Send) -> PyResult<T> {
        let stopped = |why: &str| Err(PortMappingError::stopped(why)).or_raise(py);
        if self.0.is_foreign() {
            return stopped("the simulated gateway belongs to the process before the fork");
        }
        match py.detach(|| self.read().as_ref().map(call)) {
            Some(answer) => Ok(answer),
            None => stopped("the simulated gateway is stopped"),
        }
    }
}

#[pymethods]
impl Gateway {
    /// Starts a gateway with these options, a JSON object of settings and of faults that are on from the start.
    #[new]
    fn new(py: Python<'_>, options: &str) -> PyResult<Self> {
        let config = config(py, options)?;
        let simulated = py.detach(|| Simulated::start(config)).map_err(|error| mapping_error(&error)).or_raise(py)?;
        Ok(Self(Handle::from(RwLock::new(Some(simulated)))))
    }

    /// Where the gateway listens, as the JSON line that its program writes at the start.
    fn started(&self, py: Python<'_>) -> PyResult<String> {
        self.with(py, |gateway| json::started(gateway).to_string())
    }

    /// Carries out one JSON line and returns the reply.
    fn execute(&self, py: Python<'_>, line: &str) -> PyResult<String> {
        self.with(py, |gateway| json::execute(gateway, line).json.to_string())
    }

    /// Waits until something has changed, at most for so many seconds; whether it did.
    fn wait_change(&self, py: Python<'_>, limit: f64) -> PyResult<bool> {
        let limit = Duration::try_from_secs_f64(limit).unwrap_or_default();
        self.with(py, |gateway| {
            let before = std::cell::RefCell::new(None);
            gateway.wait_for(limit, |state| {
                let now = (state.mappings.len(), state.counters.clone(), state.external_address);
                *before.borrow_mut().get_or_insert_with(|| now.clone()) != now
            })
        })
    }

    /// Stops the gateway; returns when its sockets are closed.
    fn stop(&self, py: Python<'_>) {
        if !self.0.is_foreign() {
            py.detach(|| drop(self.0.write().unwrap_or_else(PoisonError::into_inner).take()));
        }
    }
}

/// All settings and all faults with their defaults, as two JSON objects.
#[pyfunction]
pub(crate) fn gateway_defaults() -> (String, String) {
    let (settings, faults) = defaults();
    (Value::Object(settings).to_string(), Value::Object(faults).to_string())
}

fn defaults() -> (Map<String, Value>, Map<String, Value>) {
    let mut settings = object(serde_json::to_value(GatewayConfig::default()));
    settings.remove("faults");
    (settings, object(serde_json::to_value(Faults::default())))
}

fn object(value: serde_json::Result<Value>) -> Map<String, Value> {
    match value {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Option by option, so that the error can name the one that does not fit.
fn config(py: Python<'_>, options: &str) -> PyResult<GatewayConfig> {
    let options: Map<String, Value> =
        serde_json::from_str(options).map_err(|error| invalid(py, "options", &error.to_string()))?;
    let (settings, faults) = defaults();
    let mut config = GatewayConfig::default();
    for (name, value) in options {
        // A protocol can be off by its setting, and silent, say, by the switch of the same name.
        let is_switch = faults.contains_key(&name) && !(value.is_boolean() && settings.contains_key(&name));
        if settings.contains_key(&name) && !is_switch {
            let mut all = object(serde_json::to_value(&config));
            all.insert(name.clone(), value);
            config =
                serde_json::from_value(Value::Object(all)).map_err(|error| invalid(py, &name, &error.to_string()))?;
        } else {
            let patch = Value::Object(Map::from_iter([(name.clone(), value)]));
            config.faults = config.faults.merged(&patch).map_err(|error| invalid(py, &name, &error))?;
        }
    }
    Ok(config)
}

fn mapping_error(error: &GatewayError) -> PortMappingError {
    match error {
        GatewayError::Config(message) => PortMappingError::invalid("options", message),
        GatewayError::Bind { what, address, source } => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            PortMappingError::transport(format!("cannot open {what} on {address}"), source)
        }
        GatewayError::Runtime(_) | GatewayError::Mapping(_) => PortMappingError::internal(error.to_string()),
        GatewayError::Stopped => PortMappingError::stopped(error.to_string()),
    }
}

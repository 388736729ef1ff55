//! The simulated gateway, by its line protocol: in process, on a thread of its own.

use napi_derive::napi;
use portlease::PortMappingError;
use portlease_gateway::{Gateway, GatewayError, json};

use crate::error::{Failure, failure};

/// A running gateway.
#[napi]
pub struct GatewayHandle {
    gateway: Option<Gateway>,
}

#[napi]
impl GatewayHandle {
    /// Starts a gateway with these settings, a JSON object. Opens its sockets on loopback, which takes a moment.
    #[napi(factory, catch_unwind)]
    pub fn start(settings: String) -> Result<Self, Failure> {
        let invalid = |error: &dyn std::fmt::Display| failure(&PortMappingError::invalid("config", error.to_string()));
        let config = serde_json::from_str(&settings).map_err(|error| invalid(&error))?;
        let gateway = Gateway::start(config).map_err(|error| match error {
            GatewayError::Config(message) => invalid(&message),
            GatewayError::Bind { what, address, source } => {
                failure(&PortMappingError::transport(format!("cannot open {what} on {address}"), source))
            }
            other @ (GatewayError::Runtime(_) | GatewayError::Mapping(_) | GatewayError::Stopped) => {
                failure(&PortMappingError::internal(other.to_string()))
            }
        })?;
        Ok(Self { gateway: Some(gateway) })
    }

    /// Its addresses, as the line `started` has them.
    #[napi(catch_unwind)]
    pub fn started(&self) -> Result<String, Failure> {
        Ok(json::started(self.running()?).to_string())
    }

    /// Carries out a line and answers with the reply.
    #[napi(catch_unwind)]
    pub fn execute(&self, line: String) -> Result<String, Failure> {
        Ok(json::execute(self.running()?, &line).json.to_string())
    }

    /// Closes the sockets, which takes a moment, at most 2 s. May be called again.
    #[napi(catch_unwind)]
    pub fn stop(&mut self) {
        drop(self.gateway.take());
    }

    fn running(&self) -> Result<&Gateway, Failure> {
        self.gateway.as_ref().ok_or_else(|| failure(&PortMappingError::stopped("the gateway is stopped")))
    }
}

impl Drop for GatewayHandle {
    /// The garbage collector must not wait for the thread.
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            std::thread::spawn(move || drop(gateway));
        }
    }
}

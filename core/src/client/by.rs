//! The one way to the error of a protocol, so that each says by which protocol it came, and by which code of the router.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::{ErrorDetail, PortMappingError};
use crate::mapping::Protocol;

/// The protocol that failed, and the router's code.
///
/// Each error has one detail: what is said here, with the kind, the message and the time of the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By {
    pub(crate) protocol: Protocol,
    code: Option<u32>,
    name: Option<&'static str>,
}

impl By {
    /// Without a code.
    pub(crate) const fn protocol(protocol: Protocol) -> Self {
        Self { protocol, code: None, name: None }
    }

    /// The same, with the router's number.
    pub(crate) fn code(self, code: impl Into<u32>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// The same, with the standard's name of the code, where it has one.
    pub(crate) fn name(self, name: impl Into<Option<&'static str>>) -> Self {
        Self { name: name.into(), ..self }
    }

    pub(crate) fn unavailable(self, message: impl Into<String>) -> PortMappingError {
        self.detailed(PortMappingError::unavailable(message))
    }

    /// The gateway did not answer by this protocol.
    pub(crate) fn timeout(self, message: impl Into<String>) -> PortMappingError {
        self.detailed(PortMappingError::timeout(message))
    }

    pub(crate) fn transport(self, context: impl fmt::Display, source: io::Error) -> PortMappingError {
        self.detailed(PortMappingError::transport(context, source))
    }

    pub(crate) fn refused(self, message: impl Into<String>) -> PortMappingError {
        self.detailed(PortMappingError::refused(message))
    }

    pub(crate) fn refused_for(self, message: impl Into<String>, retry_after: Duration) -> PortMappingError {
        self.detailed(PortMappingError::refused_for(message, retry_after))
    }

    pub(crate) fn refused_and_lost(self, message: impl Into<String>) -> PortMappingError {
        self.detailed(PortMappingError::refused_and_lost(message))
    }

    fn detailed(self, error: PortMappingError) -> PortMappingError {
        let detail = ErrorDetail::new(self.protocol, error.kind(), error.message())
            .code(self.code)
            .name(self.name.map(str::to_owned))
            .retry_after(error.retry_after());
        error.with_details([detail])
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The sources below a file or folder of this one's, but for tests.
    fn sources(at: &Path, found: &mut Vec<(String, String)>) {
        if at.is_dir() {
            for entry in fs::read_dir(at).unwrap() {
                sources(&entry.unwrap().path(), found);
            }
        } else if !at.ends_with("tests.rs") && !at.to_string_lossy().ends_with("_tests.rs") {
            let text = fs::read_to_string(at).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.push((at.display().to_string(), code.to_owned()));
        }
    }

    #[test]
    fn no_client_of_a_protocol_makes_an_error_without_its_detail() {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/client");
        let mut found = Vec::new();
        for of_a_protocol in ["pcp", "natpmp.rs", "upnp", "udp", "udp.rs", "race/address.rs"] {
            sources(&clients.join(of_a_protocol), &mut found);
        }
        assert!(found.len() > 30, "{}", found.len());
        for (file, code) in found {
            for bare in ["unavailable(", "timeout(", "transport(", "refused(", "refused_for(", "refused_and_lost("] {
                let bare = format!("PortMappingError::{bare}");
                assert!(!code.contains(&bare), "{file} has `{bare}`: `By` says by which protocol it came");
            }
        }
    }
}

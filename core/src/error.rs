//! The only list of error kinds, and the error type that carries one.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// The stable name of what went wrong. Programs match on this; messages are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum ErrorKind {
    /// No gateway, or none of the protocols answered, or the gateway says that it has no such service.
    Unavailable,
    /// A call ran past its deadline.
    Timeout,
    /// A socket-level error on the way to the gateway.
    Transport,
    /// The gateway answered no; the message has the protocol and its code, such as `pcp NOT_AUTHORIZED`.
    Refused,
    /// The caller's argument: the message names it and says what is allowed.
    Invalid,
    /// The handle is closed, or belongs to another process.
    Stopped,
    /// A defect in portlease.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order in which the documentation lists them.
    pub const ALL: [Self; 7] = [
        Self::Unavailable,
        Self::Timeout,
        Self::Transport,
        Self::Refused,
        Self::Invalid,
        Self::Stopped,
        Self::Internal,
    ];

    /// The stable string, the same in every language.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Refused => "refused",
            Self::Invalid => "invalid",
            Self::Stopped => "stopped",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ErrorKind {
    type Err = PortMappingError;

    /// Reads a stable string back. Fails with kind `invalid`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            PortMappingError::invalid("kind", format!("`{text}` is no error kind; allowed are {}", list(Self::ALL)))
        })
    }
}

/// Joins names for an error message: `a, b, c`.
pub(crate) fn list<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// Joins the reasons of several protocols, each of which names its protocol: `a; b; c`.
pub(crate) fn reasons<'a>(errors: impl IntoIterator<Item = &'a PortMappingError>) -> String {
    errors.into_iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a mapping could not be made, kept or asked for.
///
/// Cloneable, because one failure is shown in the snapshot, in the event and by `ready`.
/// Messages are lower case, without a full stop, and include the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PortMappingError {
    /// Kind `unavailable`.
    #[error("{message}")]
    Unavailable {
        /// What was looked for and not found.
        message: String,
    },
    /// Kind `timeout`.
    #[error("{message}")]
    Timeout {
        /// Which call, and how long it was given.
        message: String,
    },
    /// Kind `transport`.
    #[error("{message}")]
    Transport {
        /// What was being done, and the system's own error.
        message: String,
        /// The system's error.
        #[source]
        source: Option<Arc<io::Error>>,
    },
    /// Kind `refused`.
    #[error("{message}")]
    Refused {
        /// Protocol and code, for instance `pcp NOT_AUTHORIZED` or `upnp 718 ConflictInMappingEntry`.
        message: String,
        /// For how long the gateway says that the refusal holds (RFC 6887 7.4); asking earlier is useless.
        retry_after: Option<Duration>,
        /// The mapping that was to be renewed is gone for certain; otherwise it lives on until its lifetime ends.
        mapping_lost: bool,
    },
    /// Kind `invalid`.
    #[error("{argument}: {message}")]
    Invalid {
        /// The argument's name.
        argument: &'static str,
        /// What is wrong with it and what is allowed.
        message: String,
    },
    /// Kind `stopped`.
    #[error("{message}")]
    Stopped {
        /// Which handle, and why.
        message: String,
    },
    /// Kind `internal`.
    #[error("{message}")]
    Internal {
        /// What should not have happened.
        message: String,
    },
}

impl PortMappingError {
    /// An error of kind `unavailable`.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into() }
    }

    /// An error of kind `timeout`.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::Timeout { message: message.into() }
    }

    /// An error of kind `transport`; the message becomes `context: source`.
    pub fn transport(context: impl fmt::Display, source: io::Error) -> Self {
        Self::Transport { message: format!("{context}: {source}"), source: Some(Arc::new(source)) }
    }

    /// An error of kind `refused` without a time for which the refusal holds.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), retry_after: None, mapping_lost: false }
    }

    /// An error of kind `refused` that holds for a while.
    pub fn refused_for(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::Refused { message: message.into(), retry_after: Some(retry_after), mapping_lost: false }
    }

    /// An error of kind `refused` that leaves no mapping behind.
    pub fn refused_and_lost(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), retry_after: None, mapping_lost: true }
    }

    /// An error of kind `invalid` about the named argument.
    pub fn invalid(argument: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { argument, message: message.into() }
    }

    /// An error of kind `stopped`.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::Stopped { message: message.into() }
    }

    /// An error of kind `internal`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into() }
    }

    /// The stable kind.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Transport { .. } => ErrorKind::Transport,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Stopped { .. } => ErrorKind::Stopped,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// Whether the mapping that was to be renewed is gone for certain.
    pub const fn mapping_lost(&self) -> bool {
        matches!(self, Self::Refused { mapping_lost: true, .. })
    }

    /// For how long a refusal holds by the gateway's own word (RFC 6887 7.4), where it gave one.
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self { *retry_after } else { None }
    }
}

/// A failure as snapshots and events show it: the stable kind and a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReport {
    /// The stable kind.
    pub kind: ErrorKind,
    /// For people; nothing matches on it.
    pub message: String,
}

impl From<&PortMappingError> for ErrorReport {
    fn from(error: &PortMappingError) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_own_string() {
        for kind in ErrorKind::ALL {
            assert_eq!(kind.as_str().parse::<ErrorKind>().unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_kind_is_invalid_and_the_message_lists_what_is_allowed() {
        let error = "nope".parse::<ErrorKind>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("`nope`") && error.to_string().contains("unavailable, timeout"), "{error}");
    }

    #[test]
    fn a_transport_error_carries_the_cause_in_its_message_and_as_source() {
        let error = PortMappingError::transport("cannot send to 192.168.1.1", io::Error::other("boom"));
        assert_eq!(error.to_string(), "cannot send to 192.168.1.1: boom");
        assert!(std::error::Error::source(&error).is_some());
    }
}

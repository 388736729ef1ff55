//! The only list of error kinds, and the error type that carries one.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::builders::builders;
use crate::protocol::Protocol;

/// The stable name of what went wrong. Programs match on this; messages are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "unstable-exhaustive"), non_exhaustive)]
pub enum ErrorKind {
    /// There is no gateway, or it answered by none of the protocols, or it says that it has no such service.
    Unavailable,
    /// A call ran past its deadline. If the router does not answer, the error is `unavailable`; only the detail of one protocol
    /// says `timeout`.
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
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| PortMappingError::invalid("kind", format!("`{text}` is not one of {}", list(Self::ALL))))
    }
}

/// Fails with kind `invalid` about `argument` unless `allowed`.
pub(crate) fn check(
    argument: &'static str,
    allowed: bool,
    why: impl FnOnce() -> String,
) -> Result<(), PortMappingError> {
    if allowed { Ok(()) } else { Err(PortMappingError::invalid(argument, why())) }
}

/// A time as error messages give it: in seconds, to the millisecond.
pub(crate) fn in_seconds(time: Duration) -> String {
    format!("{} s", (time.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Joins names for an error message: `a, b, c`.
pub(crate) fn list<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// Joins the reasons of several protocols, each of which names its protocol: `a; b; c`.
pub(crate) fn reasons<'a>(errors: impl IntoIterator<Item = &'a PortMappingError>) -> String {
    errors.into_iter().map(PortMappingError::message).collect::<Vec<_>>().join("; ")
}

/// Why a mapping could not be made, kept or asked for.
///
/// Cloneable, because one failure is shown in the snapshot, in the event and by `ready`. Messages are lower case, without
/// a full stop.
///
/// As usual in Rust, `Display` leaves out the cause, which is [`source`](std::error::Error::source): an
/// [`std::io::Error`] for kind `transport`, nothing for the others. [`message`](Self::message) has both.
///
/// ```
/// use portlease::PortMappingError;
/// use std::error::Error;
///
/// let error = PortMappingError::transport("cannot reach 192.168.1.1", std::io::ErrorKind::NetworkUnreachable.into());
/// assert_eq!(error.to_string(), "cannot reach 192.168.1.1");
/// assert_eq!(error.message(), "cannot reach 192.168.1.1: network unreachable");
/// let cause = error.source().and_then(|cause| cause.downcast_ref::<std::io::Error>()).expect("a cause");
/// assert_eq!(cause.kind(), std::io::ErrorKind::NetworkUnreachable);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum PortMappingError {
    /// Kind `unavailable`.
    #[non_exhaustive]
    Unavailable {
        /// What was looked for and not found.
        message: String,
        /// Why, protocol by protocol.
        details: Vec<ErrorDetail>,
        /// There is no gateway that could be asked.
        no_gateway: bool,
    },
    /// Kind `timeout`.
    #[non_exhaustive]
    Timeout {
        /// Which call, and how long it was given.
        message: String,
        /// Why, protocol by protocol.
        details: Vec<ErrorDetail>,
    },
    /// Kind `transport`.
    #[non_exhaustive]
    Transport {
        /// What was being done.
        message: String,
        /// The system's error.
        source: Option<Arc<io::Error>>,
        /// Why, protocol by protocol.
        details: Vec<ErrorDetail>,
    },
    /// Kind `refused`.
    #[non_exhaustive]
    Refused {
        /// Protocol and code, for instance `pcp NOT_AUTHORIZED` or `upnp 718 ConflictInMappingEntry`.
        message: String,
        /// For how long the gateway says that the refusal holds (RFC 6887 7.4); asking earlier is useless.
        retry_after: Option<Duration>,
        /// The mapping that was to be renewed is gone for certain; otherwise it lives on until its lifetime ends.
        mapping_lost: bool,
        /// Why, protocol by protocol.
        details: Vec<ErrorDetail>,
    },
    /// Kind `invalid`.
    #[non_exhaustive]
    Invalid {
        /// The argument's name.
        argument: &'static str,
        /// What is wrong with it and what is allowed.
        message: String,
    },
    /// Kind `stopped`.
    #[non_exhaustive]
    Stopped {
        /// Which handle, and why.
        message: String,
    },
    /// Kind `internal`.
    #[non_exhaustive]
    Internal {
        /// What should not have happened.
        message: String,
        /// What the other protocols have answered.
        details: Vec<ErrorDetail>,
    },
}

impl PortMappingError {
    /// An error of kind `unavailable`.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), details: Vec::new(), no_gateway: false }
    }

    /// An error of kind `unavailable`, because there is no gateway that could be asked.
    pub fn no_gateway(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), details: Vec::new(), no_gateway: true }
    }

    /// An error of kind `timeout`.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::Timeout { message: message.into(), details: Vec::new() }
    }

    /// An error of kind `transport`: `context` says what was being done.
    pub fn transport(context: impl fmt::Display, source: io::Error) -> Self {
        Self::Transport { message: context.to_string(), source: Some(Arc::new(source)), details: Vec::new() }
    }

    /// An error of kind `refused` without a time for which the refusal holds.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), retry_after: None, mapping_lost: false, details: Vec::new() }
    }

    /// An error of kind `refused` that holds for a while.
    pub fn refused_for(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::Refused {
            message: message.into(),
            retry_after: Some(retry_after),
            mapping_lost: false,
            details: Vec::new(),
        }
    }

    /// An error of kind `refused` that leaves no mapping behind.
    pub fn refused_and_lost(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), retry_after: None, mapping_lost: true, details: Vec::new() }
    }

    /// An error of kind `invalid` about the named argument.
    pub fn invalid(argument: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { argument, message: message.into() }
    }

    /// Fails with kind `invalid` about `argument` for port 0.
    pub(crate) fn check_port(argument: &'static str, port: u16) -> Result<(), Self> {
        if port == 0 { Err(Self::invalid(argument, "must be between 1 and 65535, not 0")) } else { Ok(()) }
    }

    /// An error of kind `stopped`.
    pub fn stopped(message: impl Into<String>) -> Self {
        Self::Stopped { message: message.into() }
    }

    /// An error of kind `internal`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into(), details: Vec::new() }
    }

    /// The same, with what each protocol that was tried has answered. Errors of kind `invalid` and `stopped` are about no
    /// protocol and stay as they are.
    #[must_use]
    pub fn with_details(mut self, each: impl Into<Vec<ErrorDetail>>) -> Self {
        match &mut self {
            Self::Unavailable { details, .. }
            | Self::Timeout { details, .. }
            | Self::Transport { details, .. }
            | Self::Refused { details, .. }
            | Self::Internal { details, .. } => *details = each.into(),
            Self::Invalid { .. } | Self::Stopped { .. } => {}
        }
        self
    }

    /// What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked.
    pub fn details(&self) -> &[ErrorDetail] {
        match self {
            Self::Unavailable { details, .. }
            | Self::Timeout { details, .. }
            | Self::Transport { details, .. }
            | Self::Refused { details, .. }
            | Self::Internal { details, .. } => details,
            Self::Invalid { .. } | Self::Stopped { .. } => &[],
        }
    }

    /// What `protocol` has answered, of which this is the error.
    pub(crate) fn detail_of(&self, protocol: Protocol) -> ErrorDetail {
        let own = self.details().iter().find(|detail| detail.protocol == protocol);
        own.cloned()
            .unwrap_or_else(|| ErrorDetail::new(protocol, self.kind(), self.message()).retry_after(self.retry_after()))
    }

    /// The same as the caller is told it: a gateway that does not answer is `unavailable`, because `timeout` is the caller's own
    /// time. What is said of each protocol stays.
    pub(crate) fn told(self) -> Self {
        match self {
            Self::Timeout { message, details } => Self::Unavailable { message, details, no_gateway: false },
            error => error,
        }
    }

    /// The same refusal, which holds for another while.
    pub(crate) fn holding_for(mut self, left: Duration) -> Self {
        if let Self::Refused { retry_after, details, .. } = &mut self {
            *retry_after = Some(left);
            details.iter_mut().for_each(|detail| detail.retry_after = Some(left));
        }
        self
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

    /// The whole message, cause included: what snapshots, events and the other languages show.
    pub fn message(&self) -> String {
        let Some(cause) = self.cause() else { return self.to_string() };
        let reason = if cfg!(target_vendor = "apple") { withheld_network(cause) } else { None };
        format!("{self}: {cause}{}", reason.unwrap_or_default())
    }

    /// The system's error, which a `transport` error shares with its copies.
    pub(crate) const fn cause(&self) -> Option<&Arc<io::Error>> {
        if let Self::Transport { source, .. } = self { source.as_ref() } else { None }
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

/// What more to say of an error of Apple's systems. They have no error of their own for a program that may not use the local
/// network: it is told that there is no route to the router (TN3179, "Understanding local network privacy"). On iOS the same goes
/// for multicast without the entitlement.
fn withheld_network(cause: &io::Error) -> Option<&'static str> {
    /// EHOSTUNREACH of these systems.
    const NO_ROUTE: i32 = 65;
    (cause.raw_os_error() == Some(NO_ROUTE))
        .then_some(" (the system says this too if the program may not use the local network)")
}

impl fmt::Display for PortMappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { argument, message } => write!(f, "{argument}: {message}"),
            Self::Unavailable { message, .. }
            | Self::Timeout { message, .. }
            | Self::Transport { message, .. }
            | Self::Refused { message, .. }
            | Self::Stopped { message }
            | Self::Internal { message, .. } => f.write_str(message),
        }
    }
}

/// By hand: a derived `source` would be the `Arc`, which nobody can downcast to the system's error.
impl std::error::Error for PortMappingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().map(|cause| &**cause as _)
    }
}

/// What one protocol has answered, as a part of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorDetail {
    /// The protocol that was tried.
    pub protocol: Protocol,
    /// Why it failed; `timeout` if the router did not answer by this protocol.
    pub kind: ErrorKind,
    /// The router's number for that, where it answered with one: a PCP result code (RFC 6887 7.4), a NAT-PMP result code
    /// (RFC 6886 3.5) or a UPnP error code.
    pub code: Option<u32>,
    /// The standard's name of the code, such as `NOT_AUTHORIZED` or `ConflictInMappingEntry`, where the code has one. A port that
    /// is taken, for which NAT-PMP has no code, is `CANNOT_PROVIDE_EXTERNAL` without a code; a router that answers and has no
    /// address is `NETWORK_FAILURE`, with a code or without.
    pub name: Option<String>,
    /// For how long the router says that the refusal holds, where it gave a time (RFC 6887 7.4).
    pub retry_after: Option<Duration>,
    /// For people; nothing matches on it.
    pub message: String,
}

impl ErrorDetail {
    /// What `protocol` has answered, without a code.
    pub fn new(protocol: Protocol, kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { protocol, kind, code: None, name: None, retry_after: None, message: message.into() }
    }

    builders! {
        code(impl Into<Option<u32>>),
        name(impl Into<Option<String>>),
        retry_after(impl Into<Option<Duration>>),
    }
}

/// A failure as snapshots and events show it.
///
/// The advice goes by what each protocol has answered, and tells apart: no network or no router; a router that answers by none of
/// the protocols; one that does not allow this machine to map ports (`NOT_AUTHORIZED`, 606); a port that is taken
/// (`CANNOT_PROVIDE_EXTERNAL`, 718, 729); a full table (`NO_RESOURCES`, `USER_EX_QUOTA`, `OUT_OF_RESOURCES`, 728); a router without
/// an external address (`NETWORK_FAILURE`), or one that tried and failed (501); another NAT before the router
/// (`ADDRESS_MISMATCH`); a version or an action that the router does not know (`UNSUPP_VERSION`, 401); an error of this machine's
/// sockets; a time-out; a defect in portlease. If the protocols have answered differently, the answer counts about which people
/// can do most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorReport {
    /// The stable kind.
    pub kind: ErrorKind,
    /// For people; nothing matches on it.
    pub message: String,
    /// What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked.
    pub details: Vec<ErrorDetail>,
    /// One sentence for people about what to do now; nothing if there is nothing to do.
    pub advice: Option<String>,
    /// How long it is useless to try again, if that is known.
    pub retry_after: Option<Duration>,
}

impl ErrorReport {
    /// A failure of this kind, without details.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new(), advice: None, retry_after: None }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

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
    fn the_cause_of_a_transport_error_is_its_source_and_is_told_where_there_is_no_source() {
        let cause = io::Error::from_raw_os_error(1);
        let text = cause.to_string();
        let error = PortMappingError::transport("cannot send to 192.168.1.1", cause);
        assert_eq!(error.to_string(), "cannot send to 192.168.1.1");
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(source.raw_os_error(), Some(1));
        assert_eq!(error.message(), format!("cannot send to 192.168.1.1: {text}"));
        assert_eq!(ErrorReport::from(&error).message, error.message());
    }

    #[test]
    fn no_route_to_host_on_apples_systems_may_be_the_permission_for_the_local_network() {
        let said = withheld_network(&io::Error::from_raw_os_error(65)).unwrap();
        assert!(said.contains("may not use the local network"), "{said}");
        // ENETUNREACH, and an error that the system has not made.
        assert_eq!(withheld_network(&io::Error::from_raw_os_error(51)), None);
        assert_eq!(withheld_network(&io::ErrorKind::HostUnreachable.into()), None);
        let whole = PortMappingError::transport("cannot send", io::Error::from_raw_os_error(65)).message();
        assert_eq!(whole.contains("local network"), cfg!(target_vendor = "apple"), "{whole}");
    }
}

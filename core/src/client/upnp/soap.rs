//! SOAP: one action, one answer; and what answers and faults mean.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::description::Service;
use super::http::{self, HttpError, Request, shown};
use super::xml;
use crate::error::PortMappingError;
use crate::schedule::UPNP_TURN_DEADLINE;

/// What a device answered no with (UDA 1.1, 3.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `errorCode`; `None` where the fault has none that is a number.
    pub code: Option<u16>,
    /// `errorDescription`, cleaned and shortened; often empty.
    pub description: String,
    /// The HTTP status, usually 500.
    pub status: u16,
}

impl Fault {
    /// The code to act on. A fault without one is taken for 501 Action Failed, which says as little.
    pub(super) fn effective_code(&self) -> u16 {
        self.code.unwrap_or(ACTION_FAILED)
    }
}

impl std::fmt::Display for Fault {
    /// `upnp 718 ConflictInMappingEntry`, with the device's own words behind it where they say more.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(code) = self.code else {
            return write!(f, "upnp http {} without an error code", self.status);
        };
        let name = code_name(code);
        let same = |a: &str, b: &str| {
            let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
            letters(a).eq_ignore_ascii_case(&letters(b))
        };
        match (name, self.description.as_str()) {
            (Some(name), own) if own.is_empty() || same(name, own) => write!(f, "upnp {code} {name}"),
            (Some(name), own) => write!(f, "upnp {code} {name} (the router says: {own})"),
            (None, "") => write!(f, "upnp {code}"),
            (None, own) => write!(f, "upnp {code} {own}"),
        }
    }
}

pub(super) const INVALID_ARGS: u16 = 402;
pub(super) const ACTION_FAILED: u16 = 501;
pub(super) const NOT_AUTHORIZED: u16 = 606;
pub(super) const INVALID_INDEX: u16 = 713;
pub(super) const NO_SUCH_ENTRY: u16 = 714;
pub(super) const CONFLICT: u16 = 718;
pub(super) const SAME_PORT_REQUIRED: u16 = 724;
pub(super) const ONLY_PERMANENT: u16 = 725;
pub(super) const CONFLICT_ELSEWHERE: u16 = 729;

/// The name of a code (UDA 1.1 table 3-3, WANIPConnection:2 table 2-19).
fn code_name(code: u16) -> Option<&'static str> {
    Some(match code {
        401 => "InvalidAction",
        402 => "InvalidArgs",
        404 => "InvalidVar",
        501 => "ActionFailed",
        600 => "ArgumentValueInvalid",
        601 => "ArgumentValueOutOfRange",
        602 => "OptionalActionNotImplemented",
        603 => "OutOfMemory",
        604 => "HumanInterventionRequired",
        605 => "StringArgumentTooLong",
        606 => "ActionNotAuthorized",
        713 => "SpecifiedArrayIndexInvalid",
        714 => "NoSuchEntryInArray",
        715 => "WildCardNotPermittedInSrcIP",
        716 => "WildCardNotPermittedInExtPort",
        718 => "ConflictInMappingEntry",
        724 => "SamePortValuesRequired",
        725 => "OnlyPermanentLeasesSupported",
        726 => "RemoteHostOnlySupportsWildcard",
        727 => "ExternalPortOnlySupportsWildcard",
        728 => "NoPortMapsAvailable",
        729 => "ConflictWithOtherMechanisms",
        730 => "PortMappingNotFound",
        731 => "ReadOnly",
        732 => "WildCardNotPermittedInIntPort",
        733 => "InconsistentParameters",
        _ => return None,
    })
}

/// The first `errorCode` anywhere in a body, or else the first SOAP `Fault` or `UPnPError` without one.
/// The status of the result is 0: it is not in the body.
pub(crate) fn parse_fault(body: &[u8]) -> Option<Fault> {
    let document = xml::parse(body).ok()?;
    let code = document.find("errorCode");
    if code.is_none() && document.find("Fault").is_none() && document.find("UPnPError").is_none() {
        return None;
    }
    let description = document.find("errorDescription").map(|element| shown(&element.text)).unwrap_or_default();
    Some(Fault { code: code.and_then(|code| code.text.parse().ok()), description, status: 0 })
}

/// The output arguments of an answer, without white space around them: the children of `Body`'s first child.
/// `None`: there is no such element, this is no answer.
pub(crate) fn parse_arguments(body: &[u8]) -> Option<HashMap<String, String>> {
    let document = xml::parse(body).ok()?;
    let answer = document.find("Body")?.children.first()?;
    Some(answer.children.iter().map(|argument| (argument.name.clone(), argument.text.clone())).collect())
}

/// What an action brought.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The output arguments.
    pub(super) arguments: HashMap<String, String>,
    /// The local address of the connection: the address by which the router knows us.
    pub(super) local: IpAddr,
}

impl Answer {
    /// An output argument that is not empty.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// Why an action brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The device said no.
    #[error("{0}")]
    Fault(Fault),
    /// There is no such control URL (any more).
    #[error("http status {0}")]
    Gone(u16),
    /// No answer at all.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// An answer that is none.
    #[error("{0}")]
    Nonsense(String),
    /// A conflict on every port.
    #[error("{fault}")]
    AnotherHost {
        /// The last answer.
        fault: Fault,
        /// The address by which the router should know us.
        local: IpAddr,
    },
    /// Too many calls before this one, none of them answered.
    #[error("no turn within {} s", UPNP_TURN_DEADLINE.as_secs())]
    Crowded,
}

impl CallError {
    /// The device may have moved to another port: after a restart many routers do.
    pub(super) const fn may_have_moved(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Http(HttpError::Refused(_)))
    }

    /// The error that users see: `timeout`, `transport`, `refused`, or `unavailable` for an answer that makes no sense.
    pub(super) fn explain(self, action: &str, service: &Service) -> PortMappingError {
        let context = format!("upnp {action} at {}", shown(service.control_url.as_str()));
        match self {
            Self::Fault(fault) if fault.code == Some(NOT_AUTHORIZED) => PortMappingError::refused(format!(
                "{fault}: the router's settings must permit this device to open ports (FRITZ!Box: Internet > Permit Access > \
                 Port Sharing > permit independent port sharing)"
            )),
            Self::Fault(fault) => PortMappingError::refused(fault.to_string()),
            Self::AnotherHost { fault, local } => PortMappingError::refused(format!(
                "{fault} on every port that was tried: the router probably takes this machine for another host than {local}"
            )),
            Self::Gone(status) => PortMappingError::unavailable(format!("{context}: http status {status}")),
            Self::Http(error) => explain_http(error, &context),
            Self::Nonsense(why) => {
                PortMappingError::unavailable(format!("{context}: the answer makes no sense: {why}"))
            }
            Self::Crowded => PortMappingError::timeout(format!("{context}: {}", Self::Crowded)),
        }
    }
}

/// The error that users see for a request without an answer.
pub(super) fn explain_http(error: HttpError, context: &str) -> PortMappingError {
    match error {
        HttpError::Timeout(_) => PortMappingError::timeout(format!("{context}: {error}")),
        HttpError::Refused(source) | HttpError::Io(source) => PortMappingError::transport(context, source),
        HttpError::Malformed(why) => {
            PortMappingError::unavailable(format!("{context}: the answer makes no sense: {why}"))
        }
    }
}

/// One turn at a time for each device: some routers choke on parallel calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<IpAddr, Arc<Semaphore>>>>);

impl Turns {
    fn of(&self, device: IpAddr) -> Arc<Semaphore> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A device that nobody is calling needs no entry.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(device).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// How calls leave this machine.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The address to send from.
    pub(super) local: Option<IpAddr>,
    /// Who may call when.
    pub(super) turns: Turns,
}

impl Caller {
    /// Sends one action. `action` is the quoted header value, `service#Action`.
    pub(super) async fn call(
        &self,
        service: &Service,
        action: &str,
        body: &str,
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        let device = http::endpoint(&service.control_url).map(|address| address.ip());
        let turn = device.map(|device| self.turns.of(device));
        let _permit = match &turn {
            Some(turn) => match tokio::time::timeout(UPNP_TURN_DEADLINE, turn.acquire()).await {
                Ok(permit) => permit.ok(),
                Err(_) => return Err(CallError::Crowded),
            },
            None => None,
        };
        let request = Request { url: &service.control_url, local: self.local, action: Some((action, body)), deadline };
        let reply = http::send(&request).await?;
        tracing::trace!(action, status = reply.response.status, "upnp answer");
        judge(reply.response.status, &reply.response.body).map(|arguments| Answer { arguments, local: reply.local })
    }
}

/// A fault counts whatever the status; an answer counts with a status of success only.
fn judge(status: u16, body: &[u8]) -> Result<HashMap<String, String>, CallError> {
    if let Some(fault) = parse_fault(body) {
        return Err(CallError::Fault(Fault { status, ..fault }));
    }
    match status {
        200..=299 => parse_arguments(body)
            .ok_or_else(|| CallError::Nonsense(format!("no soap body in `{}`", shown(&String::from_utf8_lossy(body))))),
        404 | 410 => Err(CallError::Gone(status)),
        // Redirects are not followed: they could lead anywhere.
        300..=399 => Err(CallError::Nonsense(format!("http status {status}"))),
        _ => Err(CallError::Fault(Fault { code: None, description: String::new(), status })),
    }
}

impl From<&CallError> for igd_next::RequestError {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Fault(fault) | CallError::AnotherHost { fault, .. } => {
                Self::ErrorCode(fault.effective_code(), fault.description.clone())
            }
            CallError::Nonsense(why) => Self::InvalidResponse(why.clone()),
            CallError::Gone(_) | CallError::Http(_) | CallError::Crowded => {
                Self::IoError(io::Error::other(error.to_string()))
            }
        }
    }
}

#[cfg(test)]
#[path = "soap_tests.rs"]
mod tests;

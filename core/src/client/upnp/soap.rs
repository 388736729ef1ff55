//! SOAP: one action, one answer; and what answers and faults mean.

mod words;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::description::Service;
use super::http::{self, HttpError, Request, shown};
use super::ledger::{Claim, Port};
use super::turns::{Patience, Turns};
use super::xml;
use crate::client::by::By;
use crate::error::PortMappingError;
use crate::mapping::Protocol;
use crate::schedule::{UPNP_DEADLINE, UPNP_HURRIED_DEADLINE, UPNP_STATUS_DEADLINE};

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
        f.write_str(&self.by_name(code_name))
    }
}

impl Fault {
    /// The same with the names of another service's codes.
    pub(super) fn by_name(&self, name: fn(u16) -> Option<&'static str>) -> String {
        let Some(code) = self.code else {
            return format!("upnp http {} without an error code", self.status);
        };
        let name = name(code);
        let same = |a: &str, b: &str| {
            let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
            letters(a).eq_ignore_ascii_case(&letters(b))
        };
        match (name, self.description.as_str()) {
            (Some(name), own) if own.is_empty() || same(name, own) => format!("upnp {code} {name}"),
            (Some(name), own) => format!("upnp {code} {name} (the router says: {own})"),
            (None, "") => format!("upnp {code}"),
            (None, own) => format!("upnp {code} {own}"),
        }
    }
}

/// An error of UPnP, without a code.
pub(super) const BY_UPNP: By = By::protocol(Protocol::Upnp);

/// AddPortMapping's lease for a mapping without an end.
pub(super) const PERMANENT: u32 = 0;

pub(super) const INVALID_ARGS: u16 = 402;
pub(super) const ACTION_FAILED: u16 = 501;
pub(super) const NOT_AUTHORIZED: u16 = 606;
pub(super) const INVALID_INDEX: u16 = 713;
pub(super) const NO_SUCH_ENTRY: u16 = 714;
pub(super) const CONFLICT: u16 = 718;
pub(super) const SAME_PORT_REQUIRED: u16 = 724;
pub(super) const ONLY_PERMANENT: u16 = 725;
pub(super) const NO_ROOM: u16 = 728;
pub(super) const CONFLICT_ELSEWHERE: u16 = 729;
pub(super) const NOT_FOUND: u16 = 730;

/// The name of a code (UDA 1.1 table 3-3, WANIPConnection:2 table 2-19).
pub(super) fn code_name(code: u16) -> Option<&'static str> {
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
    /// The port is another's by the router's own table.
    #[error("upnp {CONFLICT} ConflictInMappingEntry: port {port} {why}")]
    Taken {
        /// The external port.
        port: u16,
        /// For instance `leads to 192.168.1.9:80`.
        why: String,
    },
    /// Another lease of this program is about to map or to delete the port.
    #[error("{0} is in use by another lease of this program")]
    Busy(Port),
    /// Our mapping is gone, for certain.
    #[error("{0}")]
    Lost(String),
    /// The same, by this answer; what it means.
    #[error("{0}: {1}")]
    LostBy(Fault, String),
    /// Not deleted: nothing shows that the entry is ours; what the router says instead.
    #[error("the router does not tell whose the entry is ({0})")]
    Untold(String),
    /// Not sent: the device left the calls before this one unanswered.
    #[error("it did not answer the calls before this one")]
    Unanswered,
}

impl CallError {
    /// The device may have moved to another port: after a restart many routers do.
    pub(super) const fn may_have_moved(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Http(HttpError::Refused(_)))
    }

    /// By which code the device said no, if it did.
    pub(super) fn by(&self) -> By {
        let code = match self {
            Self::Fault(fault) | Self::AnotherHost { fault, .. } | Self::LostBy(fault, _) => fault.code,
            Self::Taken { .. } => Some(CONFLICT),
            Self::Gone(_)
            | Self::Http(_)
            | Self::Nonsense(_)
            | Self::Busy(_)
            | Self::Lost(_)
            | Self::Untold(_)
            | Self::Unanswered => None,
        };
        code.map_or(BY_UPNP, |code| BY_UPNP.code(code).name(code_name(code)))
    }

    /// The error that users see: `timeout`, `transport`, `refused`, or `unavailable` for an answer that makes no sense.
    pub(super) fn explain(self, action: &str, service: &Service) -> PortMappingError {
        let context = format!("upnp {action} at {}", shown(service.control_url.as_str()));
        let by = self.by();
        match self {
            Self::Fault(fault) if fault.code == Some(NOT_AUTHORIZED) => {
                by.refused(format!("{fault}: the router's settings must permit this device to open ports"))
            }
            Self::Fault(fault) => by.refused(fault.to_string()),
            Self::AnotherHost { fault, local } => by.refused(format!(
                "{fault} on every port that was tried: the router probably takes this machine for another host than {local}"
            )),
            Self::Gone(status) => by.unavailable(format!("{context}: http status {status}")),
            Self::Http(error) => explain_http(error, &context),
            Self::Nonsense(why) => by.unavailable(format!("{context}: the answer makes no sense: {why}")),
            Self::Unanswered => by.timeout(format!("{context}: {}", Self::Unanswered)),
            error @ (Self::Taken { .. } | Self::Busy(_)) => by.refused(error.to_string()),
            error @ Self::Untold(_) => by.refused(format!("{context}: {error}")),
            error @ (Self::Lost(_) | Self::LostBy(..)) => by.refused_and_lost(error.to_string()),
        }
    }
}

/// The error that users see for a request without an answer.
pub(super) fn explain_http(error: HttpError, context: &str) -> PortMappingError {
    match error {
        HttpError::Timeout(_) => BY_UPNP.timeout(format!("{context}: {error}")),
        HttpError::Refused(source) | HttpError::Io(source) => BY_UPNP.transport(context, source),
        HttpError::Malformed(why) => BY_UPNP.unavailable(format!("{context}: the answer makes no sense: {why}")),
    }
}

/// How calls leave this machine.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The address to send from.
    pub(super) local: Option<IpAddr>,
    /// The interface by which link-local addresses are reached: its index, or 0.
    pub(super) scope: u32,
    /// Who may call when.
    pub(super) turns: Turns,
    patience: Patience,
    /// Microseconds that the calls of this caller and of its copies took, without the wait for their turns.
    spent: Arc<AtomicU64>,
    /// Microseconds that the last answer took, of whatever kind.
    answered_in: Arc<AtomicU64>,
}

/// How much an answer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// It is good to have, and some routers never give it.
    Optional,
    /// For a caller that has waited for an optional answer before, in vain.
    Hurried,
    Full,
}

impl Need {
    /// For how long the answer is waited for, from the moment of sending, where the last answer took `answered_in`: a slow
    /// router is slow about everything.
    fn deadline(self, answered_in: Duration) -> Duration {
        match self {
            Self::Optional => optional_deadline(answered_in),
            Self::Hurried => UPNP_HURRIED_DEADLINE,
            Self::Full => UPNP_DEADLINE,
        }
    }
}

/// For how long an answer that is only good to have is waited for, behind one that took `answered_in`.
fn optional_deadline(answered_in: Duration) -> Duration {
    answered_in.saturating_mul(2).clamp(UPNP_STATUS_DEADLINE, UPNP_DEADLINE)
}

/// One action to be called.
#[derive(Debug, Clone)]
pub(super) struct Action<'a> {
    /// The quoted header value, `service#Action`.
    pub(super) name: &'a str,
    pub(super) body: &'a str,
    pub(super) need: Need,
    /// Where it is written down that the action may make an entry.
    pub(super) claim: Option<Claim>,
}

impl Caller {
    pub(super) fn new(local: Option<IpAddr>) -> Self {
        Self {
            local,
            scope: 0,
            turns: Turns::default(),
            patience: Patience::default(),
            spent: Arc::default(),
            answered_in: Arc::default(),
        }
    }

    /// The same caller, by the interface with this index where that matters.
    pub(super) fn by(self, scope: u32) -> Self {
        Self { scope, ..self }
    }

    /// The same caller with a clock of its own.
    pub(super) fn timed(&self) -> Self {
        Self { spent: Arc::default(), ..self.clone() }
    }

    /// The same caller for calls that nobody tries again.
    pub(super) fn for_deletes(&self) -> Self {
        Self { patience: Patience::Last, ..self.clone() }
    }

    /// How long the calls so far took, without the wait for their turns.
    pub(super) fn spent(&self) -> Duration {
        Duration::from_micros(self.spent.load(Ordering::Relaxed))
    }

    /// An answer came that took so long: the calls that follow go by that.
    pub(super) fn note_answer(&self, took: Duration) {
        self.answered_in.store(micros(took), Ordering::Relaxed);
    }

    /// For how long an answer that is only good to have is waited for.
    pub(super) fn optional_deadline(&self) -> Duration {
        optional_deadline(self.answered_in())
    }

    fn answered_in(&self) -> Duration {
        Duration::from_micros(self.answered_in.load(Ordering::Relaxed))
    }

    /// Sends one action in its turn. A call that has begun goes on to its end, even if the caller is dropped: otherwise
    /// the next call could overtake it in a router that serves connections in parallel.
    pub(super) async fn call(&self, service: &Service, action: Action<'_>) -> Result<Answer, CallError> {
        let url = service.control_url.clone();
        let device = http::endpoint(&url).ok_or_else(|| CallError::Nonsense(format!("{url} is no safe address")))?.ip();
        let patience = match action.need {
            Need::Optional => Patience::Optional,
            Need::Hurried | Need::Full => self.patience,
        };
        let turn = self.turns.take(device, patience).await.ok_or(CallError::Unanswered)?;
        let (name, body, local, scope) = (action.name.to_owned(), action.body.to_owned(), self.local, self.scope);
        let (spent, answered_in) = (Arc::clone(&self.spent), Arc::clone(&self.answered_in));
        let (deadline, claim) = (action.need.deadline(self.answered_in()), action.claim);
        let call = self.turns.calls.spawn(async move {
            let started = Instant::now();
            let request = Request { url: &url, local, scope, action: Some((&name, &body)), deadline };
            let outcome = exchange(&request, claim.as_ref()).await;
            let took = micros(started.elapsed());
            spent.fetch_add(took, Ordering::Relaxed);
            if matches!(outcome, Err(CallError::Http(HttpError::Timeout(_)))) {
                turn.met_silence();
            } else {
                answered_in.store(took, Ordering::Relaxed);
                turn.answered();
            }
            outcome
        });
        call.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(HttpError::Io(io::Error::other("the runtime has ended")).into()),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

async fn exchange(request: &Request<'_>, claim: Option<&Claim>) -> Result<Answer, CallError> {
    let sending = claim.map(Claim::sending);
    let sent = AtomicBool::new(false);
    let traced = http::traced(request, || words::Request::of(request));
    let outcome = match http::send_noting(request, &sent).await {
        Ok(reply) => {
            judge(reply.response.status, &reply.response.body).map(|arguments| Answer { arguments, local: reply.local })
        }
        Err(error) => Err(error.into()),
    };
    traced.ended(outcome.as_ref().map(|answer| words::Answer(&answer.arguments)));
    if let Some(sending) = sending {
        match &outcome {
            Ok(_) => sending.granted(),
            Err(CallError::Fault(_) | CallError::Gone(_)) => sending.made_nothing(),
            Err(_) if !sent.into_inner() => sending.made_nothing(),
            Err(_) => {}
        }
    }
    outcome
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
            CallError::Gone(_)
            | CallError::Http(_)
            | CallError::Unanswered
            | CallError::Taken { .. }
            | CallError::Untold(_)
            | CallError::Busy(_)
            | CallError::Lost(_)
            | CallError::LostBy(..) => Self::IoError(io::Error::other(error.to_string())),
        }
    }
}

#[cfg(test)]
#[path = "soap_tests.rs"]
mod tests;

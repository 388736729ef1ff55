//! Pending calls. Core holds them; the environment's own thread asks for those that are over.

use std::future::Future;
use std::net::IpAddr;

use napi::Status;
use napi::bindgen_prelude::Either6;
use napi::threadsafe_function::ThreadsafeFunction;
use portlease::{GatewayReport, LeaseSnapshot, PortMappingError, PulledEvent, Release, TableEntry};

use crate::error::{FailedView, Failure, failure};
use crate::event::EventView;
use crate::snapshot::{EntryView, LeaseView, ReportView};

/// Tells the environment's thread that a wait may be over. It does not keep the event loop alive (`Weak`).
pub(crate) type Bell = ThreadsafeFunction<(), (), (), Status, false, true>;

/// The pending calls of one environment.
pub(crate) type Waits = portlease::Waits<Outcome>;

/// How a call ended.
pub(crate) type Outcome = Result<Answer, PortMappingError>;

/// What a call ended with.
pub(crate) enum Answer {
    Release(Release),
    Lease(LeaseSnapshot),
    Event(PulledEvent),
    Report(GatewayReport),
    Address(IpAddr),
    Entries(Vec<TableEntry>),
}

/// The same for JavaScript.
pub(crate) type AnswerView = Either6<String, LeaseView, EventView, ReportView, Vec<EntryView>, FailedView>;

impl From<Answer> for AnswerView {
    /// Takes the event: from here on nobody else gets it.
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Release(release) => Self::A(release.to_string()),
            Answer::Lease(snapshot) => Self::B(LeaseView::from(&snapshot)),
            Answer::Event(event) => Self::C(EventView::from(&event.take())),
            Answer::Report(report) => Self::D(ReportView::from(&report)),
            Answer::Address(address) => Self::A(address.to_string()),
            Answer::Entries(entries) => Self::E(entries.iter().map(EntryView::from).collect()),
        }
    }
}

/// Begins a wait under a number that JavaScript has chosen.
pub(crate) fn begin(
    waits: &Waits,
    token: f64,
    wait: impl Future<Output = Outcome> + Send + 'static,
) -> Result<(), Failure> {
    waits.begin(token as u64, wait).map_err(|error| failure(&error))
}

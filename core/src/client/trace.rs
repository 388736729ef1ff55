//! Each exchange with the router, told at DEBUG: in which protocol, to which address, what was asked, what was answered, and how
//! long that took. Nothing is formatted and nothing allocated if nobody listens.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level;

use crate::error::{ErrorKind, PortMappingError};
use crate::escape::Escaped;
use crate::event_text::Millis;
use crate::mapping::Protocol;

/// The target of these lines, by which a subscriber can filter.
pub(crate) const TARGET: &str = "portlease::exchange";

/// Whether anybody listens.
pub(crate) fn is_heard() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

/// An exchange that is under way. Dropped before its end, it tells that nobody waited for the answer.
#[derive(Debug)]
#[must_use = "dropping it tells that the exchange was given up"]
pub(crate) struct Traced<A: Display>(Option<Asked<A>>);

#[derive(Debug)]
struct Asked<A> {
    protocol: Protocol,
    to: SocketAddr,
    asked: A,
    began: Instant,
}

impl<A: Display> Traced<A> {
    /// The exchange begins. `asked` is called only if somebody listens.
    pub(crate) fn begin(protocol: Protocol, to: SocketAddr, asked: impl FnOnce() -> A) -> Self {
        if !is_heard() {
            return Self(None);
        }
        let asked = Asked { protocol, to, asked: asked(), began: Instant::now() };
        tracing::trace!(target: TARGET, "{}", Escaped(format_args!("{protocol} {to}: {}: asking", asked.asked)));
        Self(Some(asked))
    }

    /// Of something that is no exchange: tells nothing.
    pub(crate) const fn silent() -> Self {
        Self(None)
    }

    /// The exchange has ended with an answer, whatever it says, or without one.
    pub(crate) fn ended(mut self, outcome: Result<impl Display, impl Display>) {
        match outcome {
            Ok(answer) => self.end(answer),
            Err(error) => self.end(error),
        }
    }

    fn end(&mut self, answer: impl Display) {
        if let Some(Asked { protocol, to, asked, began }) = self.0.take() {
            tell(protocol, to, asked, answer, began.elapsed());
        }
    }
}

impl<A: Display> Drop for Traced<A> {
    fn drop(&mut self) {
        self.end("given up before an answer came");
    }
}

/// Why there is no answer: the protocol and the address are told already.
#[derive(Debug)]
pub(crate) struct NoAnswer<'a>(pub(crate) &'a PortMappingError);

impl Display for NoAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            ErrorKind::Timeout => f.write_str("no answer"),
            ErrorKind::Unavailable
            | ErrorKind::Transport
            | ErrorKind::Refused
            | ErrorKind::Invalid
            | ErrorKind::Stopped
            | ErrorKind::Internal => f.write_str(&self.0.message()),
        }
    }
}

/// A request could not be sent.
pub(crate) fn not_sent(protocol: Protocol, to: SocketAddr, asked: impl Display, error: &PortMappingError) {
    tracing::debug!(target: TARGET, "{}", Escaped(format_args!("{protocol} {to}: {asked}: not sent: {}", error.message())));
}

/// A request was sent once, and nobody waits for its answer.
pub(crate) fn sent(protocol: Protocol, to: SocketAddr, asked: impl Display) {
    tracing::debug!(target: TARGET, "{}", Escaped(format_args!("{protocol} {to}: {asked}: sent, not waiting for an answer")));
}

/// Tells of an exchange that has ended.
pub(crate) fn tell(protocol: Protocol, to: SocketAddr, asked: impl Display, answer: impl Display, took: Duration) {
    let took = Millis(took);
    tracing::debug!(target: TARGET, "{}", Escaped(format_args!("{protocol} {to}: {asked}: {answer} ({took})")));
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;

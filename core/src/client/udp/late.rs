//! Listening for an answer behind the exchange that has given up waiting for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::pace::Lane;
use super::{MAX_DATAGRAM, cut_short, receive};
use crate::schedule::LATE_ANSWER_WINDOW;

/// Sockets on which late answers are waited for at once, beside those of the exchanges: a gateway that never answers
/// must not use up the process's file descriptors.
pub(super) const MAX_LISTENERS: usize = 32;

/// What becomes of an answer that comes when nobody waits for it any more.
pub(crate) struct Late<T> {
    /// Ends the wait.
    pub(crate) end: CancellationToken,
    /// Is given the answer, and the time since the request was first sent.
    pub(crate) heard: Box<dyn Fn(T, Duration) + Send + Sync>,
}

/// A socket with a request on its way, and how the answer is told from other datagrams.
pub(super) struct Question<T, M> {
    pub(super) socket: UdpSocket,
    pub(super) matcher: M,
    pub(super) late: Late<T>,
}

impl<T, M: Fn(&[u8]) -> Option<T>> Question<T, M> {
    /// The next datagram: the answer, or `None` for any other.
    pub(super) async fn receive(&self) -> io::Result<Option<T>> {
        // One byte more than the longest answer: a longer one is noticed, not taken for its own beginning.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        match receive(&self.socket, &mut buffer).await {
            Ok(length) if length <= MAX_DATAGRAM => Ok((self.matcher)(&buffer[..length])),
            Ok(_) => Ok(None),
            Err(error) if cut_short(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A question that is not settled. Dropped as such, at the deadline or together with the future that waited for the
/// answer, it leaves a task behind that listens on.
pub(super) struct Unsettled<'a, T, M>
where
    T: Send + 'static,
    M: Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
{
    pub(super) question: Arc<Question<T, M>>,
    pub(super) lane: &'a Arc<Lane>,
    pub(super) listeners: &'a Arc<Semaphore>,
    pub(super) sent_at: Instant,
    pub(super) settled: bool,
}

impl<T, M> Drop for Unsettled<'_, T, M>
where
    T: Send + 'static,
    M: Fn(&[u8]) -> Option<T> + Send + Sync + 'static,
{
    fn drop(&mut self) {
        // Without a runtime, or with too many listeners already, the answer goes unheard.
        if !self.settled
            && let Ok(runtime) = Handle::try_current()
            && let Ok(place) = Arc::clone(self.listeners).try_acquire_owned()
        {
            let (question, lane, sent_at) = (Arc::clone(&self.question), Arc::clone(self.lane), self.sent_at);
            runtime.spawn(async move {
                listen(&question, &lane, sent_at).await;
                drop(place);
            });
        }
    }
}

async fn listen<T, M: Fn(&[u8]) -> Option<T>>(question: &Question<T, M>, lane: &Lane, sent_at: Instant) {
    let answer = async {
        loop {
            // An error means that there will be no answer.
            if let Some(answer) = question.receive().await.transpose() {
                return answer.ok();
            }
        }
    };
    let heard = question.late.end.run_until_cancelled(timeout_at(sent_at + LATE_ANSWER_WINDOW, answer)).await;
    if let Some(Ok(Some(answer))) = heard {
        let round_trip = sent_at.elapsed();
        lane.answered_late(round_trip);
        (question.late.heard)(answer, round_trip);
    }
}

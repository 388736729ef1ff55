//! The request that is under way for a `natpmp_t`, behind a descriptor that becomes readable with its answer.

use std::collections::HashMap;
use std::ffi::c_int;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portlease::{PortMappingError, WaitEnd, Waits};
use portlease_host::thread::living;

use super::types::Response;
use crate::codes::{natpmp, of_natpmp};

/// How an answer reads: the response or an error code.
pub(crate) type Answer = Result<Response, c_int>;

/// The first time that a program is told to wait for, doubled each time (RFC 6886 3.1).
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// How often it doubles (NATPMP_MAX_RETRIES of natpmp.h).
const MOST_TRIES: c_int = 9;

/// The channels of this process by the descriptors that programs have. A program that closes one without closenatpmp leaves
/// a channel until the descriptor is used again.
#[derive(Default)]
pub(crate) struct Channels(Mutex<HashMap<c_int, Arc<Channel>>>);

/// What stands behind one `natpmp_t`.
pub(crate) struct Channel {
    /// The gateway that the program has named.
    pub(crate) gateway: Option<Ipv4Addr>,
    waits: Waits<Answer>,
    /// That of the latest request.
    token: AtomicU64,
    request: Mutex<Option<Request>>,
}

/// A request under way.
struct Request {
    token: u64,
    began: Instant,
    /// Its answer, once it is there and not read yet.
    answer: Option<Answer>,
}

impl Channels {
    fn lock(&self) -> MutexGuard<'_, HashMap<c_int, Arc<Channel>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new channel, and the descriptor that is the program's from now on.
    pub(crate) fn open(&self, gateway: Option<Ipv4Addr>) -> Result<c_int, PortMappingError> {
        let waits = Waits::new();
        let ours = waits.descriptor()?;
        // SAFETY: it is open as long as the waits live.
        let ours = unsafe { BorrowedFd::borrow_raw(ours) };
        // A copy: the program may close its own at any time, and the number then belongs to something else.
        let copy = ours.try_clone_to_owned().map_err(|error| PortMappingError::transport("a descriptor", error))?;
        let descriptor = copy.into_raw_fd();
        let (token, request) = Default::default();
        let channel = Channel { gateway, waits, token, request };
        self.lock().insert(descriptor, Arc::new(channel));
        Ok(descriptor)
    }

    pub(crate) fn get(&self, descriptor: c_int) -> Option<Arc<Channel>> {
        self.lock().get(&descriptor).cloned()
    }

    /// Forgets the channel. What was asked for goes on. `false` if there is none.
    pub(crate) fn close(&self, descriptor: c_int) -> bool {
        self.lock().remove(&descriptor).is_some()
    }
}

impl Channel {
    fn request(&self) -> MutexGuard<'_, Option<Request>> {
        self.request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives up the request that is under way, if there is one: what it has asked for stays asked for.
    pub(crate) fn cancel(&self) {
        let before = self.request().take();
        if let Some(before) = before {
            // It ends, or it is over.
            let _ = self.waits.cancel(before.token);
        }
    }

    /// Begins a request in place of the one that was under way.
    pub(crate) fn begin(&self, answer: impl Future<Output = Answer> + Send + 'static) {
        self.cancel();
        let token = self.token.fetch_add(1, Ordering::Relaxed);
        let begun = self.waits.begin(token, answer);
        let failed = begun.err().map(|error| Err(of_natpmp(&error)));
        *self.request() = Some(Request { token, began: Instant::now(), answer: failed });
        // So that it is under way before the program asks for the answer.
        self.look();
    }

    /// Takes the answer from the waits, if it is there. Nothing is waited for.
    fn look(&self) {
        // A future that is polled may not meet a lock of the caller's.
        while let Ok(over) = living(|| self.waits.next(Duration::ZERO)) {
            if let Some(request) = self.request().as_mut().filter(|request| request.token == over.token) {
                request.answer = Some(match over.end {
                    WaitEnd::Done(answer) => answer,
                    WaitEnd::Cancelled | WaitEnd::Panicked => Err(natpmp::UNDEFINED_ERROR),
                });
            }
        }
    }

    /// The answer, once; [`TRY_AGAIN`](natpmp::TRY_AGAIN) while there is none, and an error if nothing was asked for.
    pub(crate) fn answer(&self) -> Answer {
        self.look();
        let mut request = self.request();
        let Some(known) = request.as_mut() else { return Err(natpmp::NO_PENDING_REQUEST) };
        let answer = known.answer.take().unwrap_or(Err(natpmp::TRY_AGAIN));
        if !matches!(answer, Err(natpmp::TRY_AGAIN)) {
            *request = None;
        }
        answer
    }

    /// How long the program may wait for the descriptor until it asks again, as if a request were sent again each time, and how
    /// often it was told before. `None` if nothing was asked for.
    pub(crate) fn patience(&self) -> Option<(Duration, c_int)> {
        self.look();
        let request = self.request();
        let request = request.as_ref()?;
        if request.answer.is_some() {
            return Some((Duration::ZERO, 1));
        }
        let waited = request.began.elapsed();
        let (mut end, mut tries) = (FIRST_WAIT, 1);
        while end <= waited && tries < MOST_TRIES {
            end = end.saturating_mul(2).saturating_add(FIRST_WAIT);
            tries += 1;
        }
        Some((end.saturating_sub(waited), tries))
    }
}

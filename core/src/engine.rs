//! One thread and one runtime for each mapper; waiting on them from any thread and any executor.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{PortMappingError, in_seconds};
use crate::fork;
use crate::resident;
use crate::schedule::{ENGINE_END_DEADLINE, FORK_CHECK_INTERVAL};

/// A thread that runs the tasks of one mapper and nothing else. Dropping it asks the tasks to end and lets them
/// release their mappings in the background; it never waits.
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: EngineRuntime,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    ended: watch::Receiver<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The process that started the thread: after a fork the child has the memory but not the thread.
    process: u32,
    /// The same, as the host's hook counts (see [`fork`]).
    generation: u32,
    started: Instant,
    /// When [`foreign`](Self::foreign) was last found not to be so, in milliseconds after `started`.
    own_at: AtomicU64,
}

impl Engine {
    /// Starts the thread. `prepare` runs there first, while the caller goes on; `settle` runs after the last task, before the
    /// thread ends. Fails with `internal` if the system cannot give a thread or an event queue.
    pub(crate) fn start<F>(
        prepare: impl FnOnce() + Send + 'static,
        settle: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, PortMappingError>
    where
        F: Future<Output = ()> + Send,
    {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| PortMappingError::internal(format!("cannot create the engine's runtime: {error}")))?;
        let engine_runtime = EngineRuntime(Arc::new(Mutex::new(Some(runtime.handle().clone()))));
        let tasks = TaskTracker::new();
        let shutdown = CancellationToken::new();
        let (end, ended) = watch::channel(false);
        let run = {
            let (tasks, shutdown, engine_runtime) = (tasks.clone(), shutdown.clone(), engine_runtime.clone());
            move || {
                let body = AssertUnwindSafe(|| {
                    prepare();
                    runtime.block_on(async {
                        shutdown.cancelled().await;
                        tasks.close();
                        tasks.wait().await;
                        if tokio::time::timeout(ENGINE_END_DEADLINE, settle()).await.is_err() {
                            tracing::warn!("the engine ended before all late answers were dealt with");
                        }
                    });
                    // Tasks that hang in a client's defect end here, not never.
                    runtime.shutdown_background();
                });
                if catch_unwind(body).is_err() {
                    tracing::error!("the engine ended by a panic");
                }
                drop(engine_runtime.0.lock().unwrap_or_else(PoisonError::into_inner).take());
                end.send_replace(true);
            }
        };
        resident::stay();
        let thread = thread::Builder::new()
            .name("portlease".to_owned())
            .spawn(run)
            .map_err(|error| PortMappingError::internal(format!("cannot start the engine's thread: {error}")))?;
        Ok(Self {
            runtime: engine_runtime,
            tasks,
            shutdown,
            ended,
            thread: Mutex::new(Some(thread)),
            process: std::process::id(),
            generation: fork::generation(),
            started: Instant::now(),
            own_at: AtomicU64::new(0),
        })
    }

    /// Fails with `stopped` if the engine was stopped or belongs to another process.
    pub(crate) fn check(&self) -> Result<(), PortMappingError> {
        if self.foreign() {
            return Err(forked());
        }
        if self.shutdown.is_cancelled() {
            return Err(PortMappingError::stopped("the mapper is stopped"));
        }
        Ok(())
    }

    /// Whether this process is a fork of the one that started the engine.
    pub(crate) fn foreign(&self) -> bool {
        std::process::id() != self.process
    }

    /// The same for those who only read: goes by the host's hook, else asks the system at most once in
    /// [`FORK_CHECK_INTERVAL`], because asking costs more than the read.
    pub(crate) fn foreign_to_reader(&self) -> bool {
        if fork::is_hooked() {
            return fork::generation() != self.generation;
        }
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let interval = FORK_CHECK_INTERVAL.as_millis() as u64;
        if now.saturating_sub(self.own_at.load(Ordering::Relaxed)) < interval && now >= interval {
            return false;
        }
        let foreign = self.foreign();
        if !foreign {
            self.own_at.store(now, Ordering::Relaxed);
        }
        foreign
    }

    /// The engine's runtime, for waits that must not keep the engine.
    pub(crate) fn runtime(&self) -> EngineRuntime {
        self.runtime.clone()
    }

    /// The token whose cancellation ends every task.
    pub(crate) fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// Runs a task to its end, and then `on_end`, with the panic if there was one. `on_end` runs in any case, also if the
    /// engine ends before the task or has ended already.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        on_end: impl FnOnce(PortMappingError) + Send + 'static,
    ) {
        let mut end = OnEnd(Some(on_end));
        let supervised = async move {
            if let Err(ended) = tokio::spawn(task).await
                && ended.is_panic()
            {
                end.call(PortMappingError::internal(format!("the lease's task failed: {ended}")));
            }
        };
        // Without a runtime the task is dropped, which tells `on_end`.
        if let Some(handle) = self.runtime.handle() {
            self.tasks.spawn_on(supervised, &handle);
        }
    }

    /// Runs what goes on beside the tasks, until it ends or the engine is asked to end.
    pub(crate) fn spawn_aside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        if let Some(handle) = self.runtime.handle() {
            drop(handle.spawn(async move { shutdown.run_until_cancelled(work).await }));
        }
    }

    /// Runs a call on the engine and waits for its answer, on any executor. Dropping the wait ends the call.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, PortMappingError> {
        self.check()?;
        let (answer, outcome) = oneshot::channel();
        let Some(handle) = self.runtime.handle() else { return Err(stopped_during_call()) };
        let task = handle.spawn(async move { drop(answer.send(call.await)) });
        drop(handle);
        let _end = AbortOnDrop(task.abort_handle());
        match outcome.await {
            Ok(answer) => Ok(answer),
            // The call ended without an answer: with the engine, or by a panic.
            Err(_) if self.shutdown.is_cancelled() => Err(stopped_during_call()),
            Err(_) => Err(PortMappingError::internal("the call to the engine failed")),
        }
    }

    /// Waits for `wait`, but not longer than `limit`. The timer runs on the engine, so that the caller needs no
    /// runtime.
    pub(crate) async fn within<T>(&self, limit: Option<Duration>, wait: impl Future<Output = T>) -> Result<T, Alarm> {
        self.runtime.within(limit, wait).await
    }

    /// Asks every task to end.
    pub(crate) fn begin_stop(&self) {
        if !self.foreign() {
            self.shutdown.cancel();
        }
    }

    /// Asks every task to end, waits until they have, and joins the thread. `false` if that takes longer than `limit`; the
    /// thread then goes on in the background.
    pub(crate) async fn stop(&self, limit: Duration) -> bool {
        if self.foreign() {
            return true;
        }
        self.begin_stop();
        let mut ended = self.ended.clone();
        let all_ended = async move { drop(ended.wait_for(|ended| *ended).await) };
        // An engine that has ended is a thread that is about to: joining it takes a moment.
        if let Err(Alarm::TimeUp) = self.within(Some(limit), all_ended).await {
            return false;
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A waker may poll this on the engine's own thread, which cannot wait for itself.
        if let Some(thread) = thread
            && thread.thread().id() != thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread ended by a panic");
        }
        true
    }
}

/// A limit as error messages give it.
pub(crate) fn seconds(limit: Option<Duration>) -> String {
    in_seconds(limit.unwrap_or_default())
}

fn stopped_during_call() -> PortMappingError {
    PortMappingError::stopped("the mapper was stopped during the call")
}

/// The error in the child of a fork.
pub(crate) fn forked() -> PortMappingError {
    PortMappingError::stopped("the mapper belongs to the process before the fork; start another")
}

/// An engine's runtime until the engine has ended; does not keep the engine. The handle must go with the runtime,
/// because it holds the runtime's event queue open, and a host with a garbage collector may keep a stopped engine for
/// long.
#[derive(Debug, Clone)]
pub(crate) struct EngineRuntime(Arc<Mutex<Option<Handle>>>);

impl EngineRuntime {
    fn handle(&self) -> Option<Handle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`Engine::within`].
    pub(crate) async fn within<T>(&self, limit: Option<Duration>, wait: impl Future<Output = T>) -> Result<T, Alarm> {
        let Some(limit) = limit else { return Ok(wait.await) };
        let (alarm, mut rung) = oneshot::channel();
        let ring = async move {
            tokio::time::sleep(limit).await;
            let _ = alarm.send(()); // the wait may be over
        };
        // Without a runtime `ring` is dropped, which ends a wait that is not over.
        let _timer = self.handle().map(|handle| AbortOnDrop(handle.spawn(ring).abort_handle()));
        let mut wait = pin!(wait);
        std::future::poll_fn(move |context| {
            if let Poll::Ready(output) = wait.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut rung).poll(context).map(|rung| Err(rung.map_or(Alarm::EngineEnded, |()| Alarm::TimeUp)))
        })
        .await
    }
}

/// Why a wait was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The limit was reached.
    TimeUp,
    /// The engine ended before that.
    EngineEnded,
}

impl Alarm {
    /// The error for the caller: `timeout` with this message, or `stopped`.
    pub(crate) fn error(self, timeout: impl FnOnce() -> String) -> PortMappingError {
        match self {
            Self::TimeUp => PortMappingError::timeout(timeout()),
            Self::EngineEnded => PortMappingError::stopped("the mapper was stopped during the wait"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.begin_stop();
    }
}

/// Runs the callback exactly once: on `call`, or on drop.
struct OnEnd<F: FnOnce(PortMappingError)>(Option<F>);

impl<F: FnOnce(PortMappingError)> OnEnd<F> {
    fn call(&mut self, error: PortMappingError) {
        if let Some(on_end) = self.0.take() {
            on_end(error);
        }
    }
}

impl<F: FnOnce(PortMappingError)> Drop for OnEnd<F> {
    fn drop(&mut self) {
        self.call(PortMappingError::stopped("the mapper is stopped"));
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Wakes a parked thread. The flag stays set if something inside the future parks the thread too and uses up the wake-up.
struct Unpark {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Waits for a future on the calling thread, for callers that have no runtime. It works for every future of this crate.
///
/// ```
/// # fn main() -> Result<(), portlease::PortMappingError> {
/// let mapper = portlease::Mapper::start(portlease::Config::default())?;
/// portlease::wait(mapper.stop(None));
/// # Ok(())
/// # }
/// ```
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Some(output) = wait_for(future.as_mut(), Duration::MAX) {
            return output;
        }
    }
}

/// Waits for a future on the calling thread, at most for `limit`. Returns `None` when the time is up; the caller can wait
/// for the future again. For hosts that must check now and then whether they were interrupted.
pub fn wait_for<F: Future>(mut future: Pin<&mut F>, limit: Duration) -> Option<F::Output> {
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut context = Context::from_waker(&waker);
    let end = Instant::now().checked_add(limit);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        while !unpark.woken.swap(false, Ordering::Acquire) {
            match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => thread::park(),
                Some(Duration::ZERO) => return None,
                Some(left) => thread::park_timeout(left),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::error::ErrorKind;
    use crate::waits::{WaitEnd, Waits};

    fn engine() -> Engine {
        Engine::start(|| {}, || async {}).unwrap()
    }

    /// As a forked child sees it: the memory is there, the thread is not.
    fn forked() -> Engine {
        let mut engine = engine();
        engine.process = engine.process.wrapping_add(1);
        engine
    }

    #[test]
    fn in_a_forked_child_the_engine_answers_stopped_and_stopping_it_returns_at_once() {
        let engine = forked();
        assert_eq!(engine.check().unwrap_err().kind(), ErrorKind::Stopped);
        assert!(engine.foreign_to_reader());
        assert_eq!(wait(engine.call(async {})).unwrap_err().kind(), ErrorKind::Stopped);
        assert!(wait(engine.stop(Duration::from_secs(10))));
        assert!(!engine.shutdown.is_cancelled(), "the parent's leases must live on");
        let shutdown = engine.shutdown.clone();
        drop(engine);
        assert!(!shutdown.is_cancelled(), "the parent's leases must live on");
        shutdown.cancel();
    }

    #[test]
    fn a_task_given_to_an_engine_that_has_ended_is_told_so() {
        let engine = engine();
        assert!(wait(engine.stop(Duration::from_secs(10))));
        let (told, mut hears) = oneshot::channel();
        engine.spawn(async {}, move |error| drop(told.send(error)));
        assert_eq!(hears.try_recv().unwrap().kind(), ErrorKind::Stopped);
    }

    #[test]
    fn a_call_that_panics_is_internal_whichever_thread_is_faster() {
        let engine = engine();
        for _ in 0..50 {
            let call = engine.call::<()>(async { panic!("expected by the test") });
            assert_eq!(wait(call).unwrap_err().kind(), ErrorKind::Internal);
        }
    }

    #[test]
    fn a_stop_that_is_polled_on_the_engines_own_thread_ends_there() {
        let engine = Arc::new(engine());
        let (tell, hears) = std::sync::mpsc::channel();
        let waits = Arc::new(OnceLock::<Waits<bool>>::new());
        let called = Arc::clone(&waits);
        let made = Waits::with_notify(move || {
            let over = called.get().and_then(|waits| waits.next(Duration::ZERO).ok());
            over.into_iter().for_each(|over| _ = tell.send(matches!(over.end, WaitEnd::Done(true))));
        });
        let waits = waits.get_or_init(|| made);
        let stopped = Arc::clone(&engine);
        waits.begin(1, async move { stopped.stop(Duration::from_secs(10)).await }).unwrap();
        assert_eq!(hears.recv_timeout(Duration::from_secs(10)), Ok(true));
    }

    #[test]
    fn a_wait_that_is_given_up_ends_its_timer() {
        let engine = engine();
        let alive_tasks = || engine.runtime.handle().unwrap().metrics().num_alive_tasks();
        let before = alive_tasks();
        for _ in 0..10 {
            let mut waiting = pin!(engine.within(Some(Duration::from_secs(600)), std::future::pending::<()>()));
            assert!(wait_for(waiting.as_mut(), Duration::ZERO).is_none());
        }
        // The engine's own thread sweeps the aborted timers out; a call that it answers comes behind them.
        wait(engine.call(async {})).unwrap();
        assert!(alive_tasks() <= before + 1);
    }

    #[test]
    fn a_limit_ends_a_wait_that_would_never_end() {
        let engine = engine();
        let limit = Some(Duration::from_millis(10));
        assert_eq!(wait(engine.within(limit, std::future::pending::<()>())), Err(Alarm::TimeUp));
    }

    #[test]
    fn a_task_that_hangs_does_not_hold_the_stop_up() {
        let engine = engine();
        engine.spawn(std::future::pending(), drop);
        assert!(!wait(engine.stop(Duration::from_millis(20))));
    }
}

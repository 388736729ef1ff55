//! Readers of a mapper's events.

use std::time::Duration;

use crate::engine::{EngineRuntime, forked, seconds};
use crate::error::PortMappingError;
use crate::event::Event;
use crate::event_log::{EventReader, PulledEvent};

/// One reader of a mapper's events, see [`Mapper::events`](crate::Mapper::events). It does not keep the mapper running. Its clones share its
/// place: each event goes to one of them.
#[derive(Debug, Clone)]
#[must_use = "a reader does nothing until next or pull is called"]
pub struct Events {
    pub(super) reader: EventReader,
    /// The wait must not keep the engine: the engine's end ends the wait.
    pub(super) runtime: EngineRuntime,
}

impl Events {
    /// Waits for the next event, at most for `timeout`. Dropping the future loses no event.
    ///
    /// Fails with `timeout`, and with `stopped` once the mapper is stopped and this reader has read its last event.
    pub async fn next(&self, timeout: impl Into<Option<Duration>>) -> Result<Event, PortMappingError> {
        Ok(self.pull(timeout).await?.take())
    }

    /// As [`next`](Self::next), but the event counts as read only when it is taken, see [`PulledEvent`].
    pub async fn pull(&self, timeout: impl Into<Option<Duration>>) -> Result<PulledEvent, PortMappingError> {
        let limit = timeout.into();
        if self.reader.is_foreign() {
            return Err(forked());
        }
        match self.runtime.within(limit, self.reader.pull()).await {
            Ok(event) => event.ok_or_else(|| PortMappingError::stopped("the mapper is stopped, and no event is left")),
            Err(alarm) => Err(alarm.error(|| format!("no event within {}", seconds(limit)))),
        }
    }
}

//! Events, of which a cancelled wait loses none.

use std::sync::Arc;

use portlease::Mapper;

/// An event on its way to whoever waits for it: an asyncio task may be cancelled between the end of its wait and its next
/// step. Dropped on the way, it goes back to the front of the queue.
#[derive(Debug)]
pub(crate) struct Pulled {
    event: Option<portlease::Event>,
    mapper: Arc<Mapper>,
}

impl Pulled {
    pub(crate) fn new(event: portlease::Event, mapper: Arc<Mapper>) -> Self {
        Self { event: Some(event), mapper }
    }

    /// The event has arrived.
    pub(crate) fn take(mut self) -> Option<portlease::Event> {
        self.event.take()
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        if let Some(event) = self.event.take() {
            self.mapper.put_back(event);
        }
    }
}

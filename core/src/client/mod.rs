//! The trait between the task and the protocols, and its implementations.

pub(crate) mod announcements;
pub(crate) mod by;
mod epoch;
pub(crate) mod families;
pub(crate) mod mock;
pub(crate) mod natpmp;
pub(crate) mod null;
pub(crate) mod owners;
pub(crate) mod pcp;
mod port_mapper;
pub(crate) mod race;
mod trace;
pub(crate) mod udp;
pub(crate) mod upnp;
#[cfg(test)]
mod vectors;

pub use self::mock::{Calls, MockPortMapperClient};
pub use self::natpmp::NatPmpMapper;
pub use self::null::NullPortMapper;
pub use self::pcp::PcpMapper;
pub use self::port_mapper::{GatewayView, PortMapperClient};
pub use self::race::RaceMapper;
pub use self::upnp::{DeviceInfo, FirewallStatus, PinholeConfig, PinholeMapper, UpnpConfig, UpnpMapper, WanStatus};

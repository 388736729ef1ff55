//! The actions of WANIPv6FirewallControl:1.

use std::net::Ipv6Addr;

use super::read;
use crate::client::upnp::action::Control;
use crate::client::upnp::ledger::Claim;
use crate::client::upnp::soap::{Answer, CallError, Need};
use crate::mapping::Transport;

/// What a pinhole lets through: packets from everybody to one port of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) transport: Transport,
    pub(super) address: Ipv6Addr,
    pub(super) port: u16,
}

/// What a router says of its IPv6 firewall (2.2.1 and 2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FirewallStatus {
    /// Whether there is a firewall at all. Without one all ports are open.
    pub enabled: bool,
    /// Whether programs may have it open ports.
    pub pinholes_allowed: bool,
}

impl Control<'_> {
    /// GetFirewallStatus (2.5.1). What the answer leaves out counts as the usual: a firewall that may be opened.
    pub(super) async fn firewall_status(&self) -> Result<FirewallStatus, CallError> {
        let answer = self.own_action("GetFirewallStatus", "", Need::Full, None).await?;
        Ok(read::status(&answer))
    }

    /// AddPinhole (2.5.3), which answers with the number of the pinhole. One that is there already is extended and keeps its number,
    /// if the router goes by the standard.
    pub(super) async fn add_pinhole(&self, hole: Hole, lease: u32, claim: Option<Claim>) -> Result<u16, CallError> {
        let Hole { transport, address, port } = hole;
        let protocol = match transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        };
        let arguments = format!(
            "<RemoteHost></RemoteHost><RemotePort>0</RemotePort><InternalClient>{address}</InternalClient>\
             <InternalPort>{port}</InternalPort><Protocol>{protocol}</Protocol><LeaseTime>{lease}</LeaseTime>"
        );
        let answer = self.own_action("AddPinhole", &arguments, Need::Full, claim).await?;
        read::number(&answer)
    }

    /// UpdatePinhole (2.5.4).
    pub(super) async fn update_pinhole(&self, number: u16, lease: u32) -> Result<(), CallError> {
        let arguments = format!("<UniqueID>{number}</UniqueID><NewLeaseTime>{lease}</NewLeaseTime>");
        self.own_action("UpdatePinhole", &arguments, Need::Full, None).await.map(drop)
    }

    /// DeletePinhole (2.5.5).
    pub(super) async fn delete_pinhole(&self, number: u16) -> Result<(), CallError> {
        self.about("DeletePinhole", number).await.map(drop)
    }

    /// CheckPinholeWorking (2.5.7), which routers need not have. Fails with 709 as long as no packet has come through.
    pub(super) async fn is_pinhole_working(&self, number: u16) -> Result<bool, CallError> {
        let answer = self.about("CheckPinholeWorking", number).await?;
        Ok(read::is_working(&answer))
    }

    /// GetPinholePackets (2.5.6). `None`: the answer does not tell.
    pub(super) async fn pinhole_packets(&self, number: u16) -> Result<Option<u32>, CallError> {
        let answer = self.about("GetPinholePackets", number).await?;
        Ok(read::packets(&answer))
    }

    async fn about(&self, action: &str, number: u16) -> Result<Answer, CallError> {
        self.own_action(action, &format!("<UniqueID>{number}</UniqueID>"), Need::Full, None).await
    }
}

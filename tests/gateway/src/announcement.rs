//! What a router says without being asked: that it has restarted, has another address, or goes away.

use std::net::SocketAddr;

use serde::Deserialize;
use tokio::net::UdpSocket;

use crate::shared::Shared;
use crate::side::Side;
use crate::{Event, layout, natpmp, pcp, ssdp};

/// A message that [`Gateway::announce`](crate::Gateway::announce) sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Announcement {
    /// PCP's ANNOUNCE with the present epoch (RFC 6887, 14.1). Real routers send it to 224.0.0.1:5350 and
    /// `[ff02::1]:5350`.
    Pcp,
    /// NAT-PMP's answer about the external address, unasked (RFC 6886, 3.2.1). Sent to the same address as PCP's.
    NatPmp,
    /// NOTIFY `ssdp:alive` for each device and service type, with BOOTID.UPNP.ORG (UPnP Device Architecture 1.1,
    /// 1.2.2). Real routers send it to 239.255.255.250:1900 and `[ff02::c]:1900`.
    SsdpAlive,
    /// NOTIFY `ssdp:byebye`, for the same types (1.2.3).
    SsdpByebye,
}

impl Announcement {
    /// Whether it leaves from the port of PCP and NAT-PMP; else from that of SSDP.
    pub(crate) fn is_datagram_port(self) -> bool {
        matches!(self, Self::Pcp | Self::NatPmp)
    }

    /// The datagrams.
    fn messages(self, shared: &Shared, side: Side, to: SocketAddr) -> Vec<Vec<u8>> {
        match self {
            Self::Pcp => vec![pcp::announcement(shared)],
            // Which is for IPv4 alone.
            Self::NatPmp if side == Side::Firewall => Vec::new(),
            Self::NatPmp => vec![natpmp::external_address(shared, None)],
            Self::SsdpAlive | Self::SsdpByebye => {
                let (faults, http, boots) =
                    shared.look(|state| (state.faults.clone(), state.addresses.on(side).http, state.boots));
                let alive = self == Self::SsdpAlive;
                layout::devices(&shared.config, &faults)
                    .iter()
                    .flat_map(|device| {
                        let location = device.told_location(&faults, side, http);
                        let notify = move |target: String| {
                            ssdp::notify(to, &device.uuid, &target, alive.then_some(&*location), boots)
                        };
                        device.targets().into_iter().map(notify).collect::<Vec<_>>()
                    })
                    .collect()
            }
        }
    }

    pub(crate) async fn send(self, shared: &Shared, side: Side, socket: &UdpSocket, to: SocketAddr) {
        for message in self.messages(shared, side, to) {
            if let Err(error) = socket.send_to(&message, to).await {
                let message = format!("cannot announce to {to}: {error}");
                shared.with(|state| state.emit(Event::Error { message }));
            }
        }
    }
}

//! What the gateway tells of its connection to the internet, and which other gateways there are.

use std::time::Duration;

use super::description::Service;
use super::device::DeviceInfo;
use super::http::shown;
use super::search::Hunt;
use super::soap::{CallError, Need};
use super::target::Target;
use super::{UpnpMapper, action::Control};
use crate::error::PortMappingError;

/// What GetStatusInfo (WANIPConnection:2 2.5.8) and GetCommonLinkProperties (WANCommonInterfaceConfig:1 2.4.2) say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WanStatus {
    /// The state in the router's words: `Connected`, `Disconnected`, `Connecting` and the like.
    pub status: String,
    /// Why the last attempt to connect failed; `None` if there was no error or the router does not tell.
    pub last_error: Option<String>,
    /// How long the connection has been up; `None` if the router does not tell.
    pub uptime: Option<Duration>,
    /// The rate of the line to the internet in bits per second; `None` if the router does not tell.
    pub upstream_rate: Option<u64>,
    /// As `upstream_rate`, from the internet.
    pub downstream_rate: Option<u64>,
}

impl UpnpMapper {
    /// The state of the gateway's connection to the internet.
    ///
    /// Fails as [`search`](Self::search), and with `refused` if the router does not tell.
    pub async fn wan_status(&self) -> Result<WanStatus, PortMappingError> {
        let device = self.finder.device().await?;
        let mut target = Target::of_device(&device);
        loop {
            let result = status(target.control(&self.caller)).await;
            let Some(result) = self.settled(&mut target, result).await else { continue };
            let mut told = result.map_err(|error| self.failed(error, "GetStatusInfo", &target))?;
            if let Some(service) = &device.line {
                (told.upstream_rate, told.downstream_rate) = rates(Control { caller: &self.caller, service }).await;
            }
            return Ok(told);
        }
    }

    /// Every device in this network that maps ports, the default gateway first. Takes as long as a search in vain, because all
    /// answers are waited for. If the mapper may ask the gateway alone, it is the only one.
    ///
    /// Fails as [`search`](Self::search).
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, PortMappingError> {
        let finder = &self.finder;
        let hunt = Hunt::start(&finder.config, &finder.sought, &self.caller, Vec::<Service>::new()).await?;
        let found = hunt.thorough().run().await?;
        Ok(found.iter().map(|device| DeviceInfo::from(&**device)).collect())
    }
}

async fn status(control: Control<'_>) -> Result<WanStatus, CallError> {
    let answer = control.own_action("GetStatusInfo", "", Need::Full, None).await?;
    let text = |name| answer.argument(name).map(shown).filter(|text| !text.is_empty());
    let status = text("NewConnectionStatus").ok_or_else(|| CallError::Nonsense("it tells no status".to_owned()))?;
    Ok(WanStatus {
        status,
        last_error: text("NewLastConnectionError").filter(|error| error != "ERROR_NONE"),
        uptime: answer.argument("NewUptime").and_then(|text| text.parse().ok()).map(Duration::from_secs),
        upstream_rate: None,
        downstream_rate: None,
    })
}

/// The rates of the line, up and down. A router that does not know its line tells 0 or nothing.
async fn rates(control: Control<'_>) -> (Option<u64>, Option<u64>) {
    match control.own_action("GetCommonLinkProperties", "", Need::Optional, None).await {
        Ok(answer) => {
            let rate = |name| answer.argument(name).and_then(|text| text.parse().ok()).filter(|rate| *rate > 0);
            (rate("NewLayer1UpstreamMaxBitRate"), rate("NewLayer1DownstreamMaxBitRate"))
        }
        Err(error) => {
            tracing::debug!(url = %control.service.control_url, %error, "the device does not tell the rate of its line");
            (None, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::peer::{Answer, IP1, Ssdp, Web, answer, gateway, mapper, ok};
    use super::*;

    #[tokio::test]
    async fn the_state_of_the_connection_is_told_with_its_age_and_the_last_error() {
        for (error, told) in [("ERROR_NONE", None), ("ERROR_ISP_DISCONNECT", Some("ERROR_ISP_DISCONNECT"))] {
            let (_web, _ssdp, mapper) = gateway(move |call| {
                (call.action == "GetStatusInfo").then(|| {
                    let arguments =
                        [("NewConnectionStatus", "Connected"), ("NewLastConnectionError", error), ("NewUptime", "90")];
                    ok("GetStatusInfo", &arguments)
                })
            })
            .await;
            let status = mapper.wan_status().await.unwrap();
            assert_eq!((status.status.as_str(), status.uptime), ("Connected", Some(Duration::from_secs(90))));
            assert_eq!(status.last_error.as_deref(), told);
        }
    }

    #[tokio::test]
    async fn the_rate_of_the_line_is_told_if_the_router_knows_it() {
        const LINE: &str = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1";
        for (down, told) in [("100000000", Some(100_000_000)), ("0", None), ("fast", None), ("", None)] {
            let web = Web::start(&[(LINE, "/line"), (IP1, "/ctl")], move |call| match call.action.as_str() {
                "GetStatusInfo" => Some(ok("GetStatusInfo", &[("NewConnectionStatus", "Connected")])),
                "GetCommonLinkProperties" if call.path == "/line" && !down.is_empty() => {
                    let rates = [("NewLayer1UpstreamMaxBitRate", "40000000"), ("NewLayer1DownstreamMaxBitRate", down)];
                    Some(ok("GetCommonLinkProperties", &rates))
                }
                _ => None,
            })
            .await;
            let ssdp = Ssdp::start(vec![web.location()]).await;
            let status = mapper(&ssdp).wan_status().await.unwrap();
            assert_eq!(status.downstream_rate, told, "{down}");
            assert_eq!(status.upstream_rate, (!down.is_empty()).then_some(40_000_000), "{down}");
        }
    }

    #[tokio::test]
    async fn every_device_is_listed_the_gateway_first() {
        let gateway = Web::start(&[(IP1, "/ctl")], |_| None).await;
        let other = Web::start_at((Ipv4Addr::new(127, 0, 0, 2), 0).into(), &[(IP1, "/ctl")], |_| None).await;
        let igd = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
        let answers = [&gateway, &other].map(|web| Answer {
            from: web.address.ip(),
            text: answer(&web.location(), igd),
            after: Duration::ZERO,
        });
        let ssdp = Ssdp::start_among(answers.to_vec()).await;
        let devices = mapper(&ssdp).devices().await.unwrap();
        let addresses: Vec<_> = devices.iter().map(|device| device.address).collect();
        assert_eq!(addresses, [gateway.address.ip(), other.address.ip()]);
    }
}

//! This machine's end of the path: its interfaces, whether they are connected, and its default routes. Nothing is sent.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use portlease::AddressFamily;
use portlease::net::route::{self, Route, is_bridge};

/// What an interface leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Loopback,
    Wired,
    WiFi,
    /// A modem or a dial-up connection.
    Modem,
    Vpn,
    /// Containers or virtual machines on this machine.
    Containers,
}

impl Kind {
    /// The stable name in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Wired => "wired",
            Self::WiFi => "wifi",
            Self::Modem => "modem",
            Self::Vpn => "vpn",
            Self::Containers => "containers",
        }
    }

    /// Whether a home router can be at the other end.
    const fn may_lead_home(self) -> bool {
        matches!(self, Self::Wired | Self::WiFi | Self::Modem)
    }
}

/// Whether an interface is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Connected,
    /// Switched on, but no cable, or no Wi-Fi network.
    NoCarrier,
    /// Switched off.
    Off,
    /// This system does not say.
    Unknown,
}

impl State {
    /// The stable name in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::NoCarrier => "no-carrier",
            Self::Off => "off",
            Self::Unknown => "unknown",
        }
    }
}

/// An interface of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) addresses: Vec<Ipv4Addr>,
}

impl Link {
    fn has_address(&self) -> bool {
        self.addresses.iter().any(|address| !address.is_link_local())
    }
}

/// What kind of machine this is, if its router is the one that comes with it. A container may be in the home's network too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Machine {
    #[default]
    Plain,
    Container,
    Wsl,
}

impl Machine {
    /// The stable name in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Container => "container",
            Self::Wsl => "wsl",
        }
    }
}

/// Where the path ends on this machine already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gap {
    /// No interface could lead to a router.
    NoInterface,
    Off(String),
    NoCarrier(String, Kind),
    NoAddress(String),
    NoRoute(String, Ipv4Addr),
    /// The only default route leads into a VPN.
    Vpn(String),
}

impl Gap {
    /// What is wrong, for people, without a full stop.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::NoInterface => "this machine has no network interface that could lead to a router".to_owned(),
            Self::Off(name) => format!("the interface {name} is switched off"),
            Self::NoCarrier(name, Kind::WiFi) => format!("{name} is not connected to a Wi-Fi network"),
            Self::NoCarrier(name, _) => {
                format!("{name} has no carrier: the cable is unplugged, or its other end is off")
            }
            Self::NoAddress(name) => format!("{name} is connected, but has no IPv4 address"),
            Self::NoRoute(name, address) => {
                format!("this machine is connected ({address} on {name}), but has no default route")
            }
            Self::Vpn(name) => format!("the only default route leads into the VPN {name}"),
        }
    }

    /// What to do, without a full stop.
    pub(crate) fn advice(&self) -> String {
        match self {
            Self::NoInterface => "connect this machine to a network with a router".to_owned(),
            Self::Off(name) => format!("switch the interface on (on Linux: ip link set {name} up)"),
            Self::NoCarrier(_, Kind::WiFi) => "connect this machine to the Wi-Fi network of your router".to_owned(),
            Self::NoCarrier(name, _) => {
                format!("plug in the network cable of {name}, and look whether the router or switch at its other end is on")
            }
            Self::NoAddress(_) => {
                "look whether the router gives out addresses (DHCP), or give this machine one of its network".to_owned()
            }
            Self::NoRoute(..) => {
                "connect to the network again, so that the router tells its address (DHCP), or set the default gateway by hand; \
                 --gateway names a router by its address"
                    .to_owned()
            }
            Self::Vpn(_) => "disconnect the VPN, or name your home router with --gateway".to_owned(),
        }
    }
}

/// The network as this machine sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) links: Vec<Link>,
    /// Every IPv4 default route, best first.
    pub(crate) routes: Vec<Route>,
    pub(crate) routes6: Vec<Route>,
    pub(crate) machine: Machine,
}

impl Network {
    /// Reads the system's tables.
    pub(crate) fn look() -> Self {
        let links = route::local_addresses().into_iter().map(|(name, addresses)| {
            let (kind, state) = (platform::kind(&name), platform::state(&name));
            Link { name, kind, state, addresses }
        });
        let routes = route::default_routes(AddressFamily::Ipv4).unwrap_or_default();
        let inside = routes.iter().any(|route| route.gateway.is_some_and(is_of_this_machine));
        Self {
            links: links.collect(),
            routes,
            routes6: route::default_routes(AddressFamily::Ipv6).unwrap_or_default(),
            machine: if inside { machine() } else { Machine::Plain },
        }
    }

    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// What an interface leads to; by its name if it is not among the links.
    pub(crate) fn kind(&self, name: &str) -> Kind {
        self.link(name).map_or_else(|| kind_by_name(name), |link| link.kind)
    }

    /// The interface of a path, if nothing is connected to it. Linux keeps the routes of an interface that loses its carrier.
    pub(crate) fn cut(&self, interface: Option<&str>) -> Option<Gap> {
        let link = self.link(interface?)?;
        match link.state {
            State::NoCarrier => Some(Gap::NoCarrier(link.name.clone(), link.kind)),
            State::Off => Some(Gap::Off(link.name.clone())),
            State::Connected | State::Unknown => None,
        }
    }

    /// Why this machine has no connection at all, if that is so.
    pub(crate) fn disconnected(&self) -> Option<Gap> {
        let connected = |link: &Link| link.kind.may_lead_home() && !matches!(link.state, State::NoCarrier | State::Off);
        match self.links.is_empty() || self.links.iter().any(connected) {
            true => None,
            false => Some(self.gap()),
        }
    }

    /// Why there is no router to ask.
    pub(crate) fn gap(&self) -> Gap {
        let vpn = self.routes.first().filter(|route| self.kind(&route.interface) == Kind::Vpn);
        if let (Some(vpn), true) = (vpn, self.routes.iter().all(|route| route.gateway.is_none())) {
            return Gap::Vpn(vpn.interface.clone());
        }
        let home = || self.links.iter().filter(|link| link.kind.may_lead_home());
        let connected = |link: &&Link| match link.state {
            State::Connected => true,
            State::Unknown => link.has_address(),
            State::NoCarrier | State::Off => false,
        };
        let with_address = home().filter(connected).find(|link| link.has_address());
        if let Some(link) = with_address {
            let address = link.addresses.iter().find(|address| !address.is_link_local());
            return Gap::NoRoute(link.name.clone(), address.copied().unwrap_or(Ipv4Addr::UNSPECIFIED));
        }
        let first = |state: State| home().find(|link| link.state == state);
        match (home().find(connected), first(State::NoCarrier), first(State::Off)) {
            (Some(link), ..) => Gap::NoAddress(link.name.clone()),
            (None, Some(link), _) => Gap::NoCarrier(link.name.clone(), link.kind),
            (None, None, Some(link)) => Gap::Off(link.name.clone()),
            (None, None, None) => Gap::NoInterface,
        }
    }
}

/// Whether a router has an address of those that Docker, Podman, WSL and QEMU give to the routers that they make.
fn is_of_this_machine(router: IpAddr) -> bool {
    let IpAddr::V4(router) = router else { return false };
    matches!(router.octets(), [172, 16..=31, ..] | [10, 88, ..] | [10, 0, 2, ..])
}

/// By files that Linux alone has.
fn machine() -> Machine {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if kernel.to_ascii_lowercase().contains("microsoft") {
        return Machine::Wsl;
    }
    let container = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
    if container { Machine::Container } else { Machine::Plain }
}

fn kind_by_name(name: &str) -> Kind {
    let lower = name.to_ascii_lowercase();
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| lower.starts_with(prefix));
    if lower == "lo" || lower == "lo0" || begins(&["loopback"]) {
        Kind::Loopback
    } else if is_bridge(name) || begins(&["vethernet", "bridge10", "vmware", "virtualbox"]) {
        Kind::Containers
    } else if begins(&[
        "tun",
        "tap",
        "utun",
        "wg",
        "tailscale",
        "zt",
        "ipsec",
        "nordlynx",
        "proton",
        "mullvad",
        "openvpn",
    ]) {
        Kind::Vpn
    } else if begins(&["wl", "wi-fi", "wlan", "ath"]) {
        Kind::WiFi
    } else if begins(&["ppp", "ww", "pdp_ip"]) {
        Kind::Modem
    } else {
        Kind::Wired
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Kind, State, is_bridge, kind_by_name};

    fn folder(name: &str) -> PathBuf {
        Path::new("/sys/class/net").join(name)
    }

    fn read(name: &str, file: &str) -> Option<String> {
        fs::read_to_string(folder(name).join(file)).ok().map(|text| text.trim().to_owned())
    }

    pub(super) fn kind(name: &str) -> Kind {
        // ARPHRD_LOOPBACK, ARPHRD_PPP, and ARPHRD_NONE, which WireGuard and tun devices have, of <linux/if_arp.h>.
        match read(name, "type").as_deref() {
            Some("772") => return Kind::Loopback,
            Some("512") => return Kind::Modem,
            Some("65534") => return Kind::Vpn,
            _ => {}
        }
        let device_type = read(name, "uevent").unwrap_or_default();
        let is = |kind: &str| device_type.lines().any(|line| line.strip_prefix("DEVTYPE=") == Some(kind));
        if is_bridge(name) {
            Kind::Containers
        } else if folder(name).join("tun_flags").exists() || is("wireguard") {
            Kind::Vpn
        } else if is("wlan") || folder(name).join("wireless").exists() {
            Kind::WiFi
        } else if is("wwan") {
            Kind::Modem
        } else {
            kind_by_name(name)
        }
    }

    pub(super) fn state(name: &str) -> State {
        const UP: u32 = 0x1;
        let flags = read(name, "flags").and_then(|text| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        match (flags, read(name, "carrier").as_deref()) {
            (Some(flags), _) if flags & UP == 0 => State::Off,
            (Some(_), Some("1")) => State::Connected,
            (Some(_), Some("0")) => State::NoCarrier,
            _ => State::Unknown,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use super::{Kind, State, kind_by_name};

    pub(super) fn kind(name: &str) -> Kind {
        kind_by_name(name)
    }

    pub(super) fn state(_name: &str) -> State {
        State::Unknown
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;

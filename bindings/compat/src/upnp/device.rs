//! The one device that is ever found: the router, whatever protocols it speaks. Its URLs lead nowhere, because nobody is meant
//! to ask it but this library.

use std::ffi::{c_char, c_int};
use std::net::{IpAddr, Ipv4Addr};

use portlease::{AddressClass, Obstacle};
use portlease_host::thread::wait;

use super::types::{IgdDatas, IgdService, URL_SIZE, UpnpDev, UpnpUrls};
use crate::memory::{allocate, put, size, write};
use crate::router::Router;

/// What programs look for.
pub(crate) const DEVICE_TYPE: &str = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
const CONNECTION: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";
const INTERFACE: &str = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1";
/// The port of PCP and NAT-PMP: no description that a router really has is there.
const PORT: u16 = portlease::config::PCP_PORT;

/// How the router stands to the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has a public address, which it tells, or nothing speaks against it.
    Connected(Option<IpAddr>),
    /// Its address is in a range that the internet does not know: another NAT stands before it.
    Reserved(IpAddr),
    /// It answers, and has no address, or lets nobody ask.
    Disconnected,
}

/// The router as a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    gateway: Ipv4Addr,
    local: IpAddr,
}

impl Device {
    /// Asks the router by all protocols, and takes the first answer. `None` if there is none: no network, no router, or silence.
    pub(crate) fn find(router: &Router) -> Option<(Self, Standing)> {
        let standing = match wait(router.external_address()) {
            Ok(address) => match AddressClass::of(address) {
                AddressClass::Public => Standing::Connected(Some(address)),
                AddressClass::Cgnat | AddressClass::Private | AddressClass::Reserved => Standing::Reserved(address),
                AddressClass::Unknown => Standing::Disconnected,
            },
            Err(error) => match error.obstacle() {
                Some(Obstacle::NoExternalAddress | Obstacle::NotAuthorized | Obstacle::RouterFailed) => {
                    Standing::Disconnected
                }
                // It maps ports and does not tell its address.
                Some(Obstacle::TableFull | Obstacle::PortTaken | Obstacle::Refused) => Standing::Connected(None),
                _ => return None,
            },
        };
        // Behind the question, which may have waited for a network.
        Some((Self::named(router)?, standing))
    }

    /// The router by the system's tables: nothing is sent.
    pub(crate) fn named(router: &Router) -> Option<Self> {
        let path = router.path().ok()?;
        let IpAddr::V4(gateway) = path.gateway? else { return None };
        Some(Self { gateway, local: path.local_address })
    }

    /// The address by which the router knows this machine.
    pub(crate) const fn local(&self) -> IpAddr {
        self.local
    }

    /// What a program finds behind the device's URL: short, and the same as what [`describe`](Self::describe) fills in.
    pub(crate) fn document(&self) -> String {
        let services = [(INTERFACE, "WANCommonIFC1"), (CONNECTION, "WANIPConn1")].map(|(kind, id)| {
            let control = self.url("control");
            format!(
                "<service><serviceType>{kind}</serviceType><serviceId>urn:upnp-org:serviceId:{id}</serviceId>\
                 <controlURL>{control}</controlURL><eventSubURL></eventSubURL><SCPDURL></SCPDURL></service>"
            )
        });
        format!(
            "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
             <deviceType>{DEVICE_TYPE}</deviceType><friendlyName>portlease</friendlyName>\
             <serviceList>{}</serviceList></device></root>",
            services.concat()
        )
    }

    fn base(&self) -> String {
        format!("http://{}:{PORT}", self.gateway)
    }

    fn url(&self, path: &str) -> String {
        format!("{}/portlease/{path}", self.base())
    }

    /// Whether its description is at a URL.
    pub(crate) fn is_described_at(&self, url: &str) -> bool {
        url == self.url("device.xml")
    }

    /// Whether a URL leads to this router.
    pub(crate) fn is_at(&self, url: &str) -> bool {
        let host = url.strip_prefix("http://").and_then(|rest| rest.split(['/', ':']).next());
        host.is_some_and(|host| host.parse() == Ok(self.gateway))
    }

    /// A list with this device alone, in one piece of memory of malloc(3). NULL if there is none left.
    pub(crate) fn list(&self) -> *mut UpnpDev {
        let usn = format!("uuid:portlease-{}::{DEVICE_TYPE}", self.gateway);
        let texts = [self.url("device.xml"), DEVICE_TYPE.to_owned(), usn];
        let head = size_of::<UpnpDev>();
        let room: usize = texts.iter().map(|text| text.len() + 1).sum();
        // SAFETY: the size is not 0; malloc aligns for every type.
        let device: *mut UpnpDev = unsafe { libc::malloc(head + room) }.cast();
        if device.is_null() {
            return device;
        }
        let mut at = head;
        let [desc_url, st, usn] = texts.map(|text| {
            // SAFETY: the texts with their ends are as long as what was asked for behind the head.
            let place = unsafe { device.cast::<c_char>().add(at) };
            // SAFETY: likewise.
            unsafe { write(place, text.len() + 1, &text) };
            at += text.len() + 1;
            place
        });
        let whole = UpnpDev { next: std::ptr::null_mut(), desc_url, st, usn, scope_id: 0, buffer: [] };
        // SAFETY: the memory is as large as that, and nobody else's.
        unsafe { device.write(whole) };
        device
    }

    /// Fills in what a program goes by from then on.
    ///
    /// # Safety
    /// Each pointer is NULL or leads to what its type says, the address to `length` bytes.
    pub(crate) unsafe fn describe(
        &self,
        urls: *mut UpnpUrls,
        data: *mut IgdDatas,
        lan_address: *mut c_char,
        length: c_int,
    ) {
        // SAFETY: the promise is this function's.
        unsafe {
            put(data, self.data());
            write(lan_address, size(length), &self.local.to_string());
        }
        let control = self.url("control");
        if !urls.is_null() {
            let filled = UpnpUrls {
                control_url: allocate(&control),
                ipcondesc_url: allocate(&self.url("connection.xml")),
                control_url_cif: allocate(&control),
                control_url_6fc: allocate(&control),
                rootdesc_url: allocate(&self.url("device.xml")),
            };
            // SAFETY: the promise is this function's.
            unsafe { put(urls, filled) };
        }
    }

    /// What a description of it says.
    pub(crate) fn data(&self) -> IgdDatas {
        let control = self.url("control");
        let service = |kind| IgdService { control_url: text(&control), service_type: text(kind), ..NO_SERVICE };
        IgdDatas {
            url_base: text(&self.base()),
            presentation_url: text(&format!("http://{}/", self.gateway)),
            cif: service(INTERFACE),
            first: service(CONNECTION),
            ..NO_DATA
        }
    }
}

const NO_SERVICE: IgdService = IgdService {
    control_url: [0; URL_SIZE],
    eventsub_url: [0; URL_SIZE],
    scpd_url: [0; URL_SIZE],
    service_type: [0; URL_SIZE],
};

/// A description that says nothing.
pub(crate) const NO_DATA: IgdDatas = IgdDatas {
    current: [0; URL_SIZE],
    url_base: [0; URL_SIZE],
    presentation_url: [0; URL_SIZE],
    level: 0,
    cif: NO_SERVICE,
    first: NO_SERVICE,
    second: NO_SERVICE,
    ipv6fc: NO_SERVICE,
    tmp: NO_SERVICE,
};

/// A text in a field of its own; what does not fit is cut off.
pub(crate) fn text<const SIZE: usize>(text: &str) -> [c_char; SIZE] {
    let mut field = [0; SIZE];
    // SAFETY: the field has this size and is this function's own.
    unsafe { write(field.as_mut_ptr(), SIZE, text) };
    field
}

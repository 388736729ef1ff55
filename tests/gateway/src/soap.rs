//! SOAP as UPnP has it (UPnP Device Architecture 1.1, section 3): requests read, answers written.

use std::collections::BTreeMap;

use crate::description::escape;

/// An action call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The service type: the namespace of the action element.
    pub(crate) service: String,
    pub(crate) action: String,
    pub(crate) arguments: BTreeMap<String, String>,
}

/// The values of an answer, by their names.
pub(crate) type Values = Vec<(&'static str, String)>;

const ENVELOPE: &str = "http://schemas.xmlsoap.org/soap/envelope/";

/// Reads a call. The SOAPAction header must name the action of the body (3.2.1).
pub(crate) fn parse(header: Option<&str>, body: &[u8]) -> Result<Call, Error> {
    let text = std::str::from_utf8(body).map_err(|_| INVALID_ACTION)?;
    // roxmltree takes no DTD unless asked, so that entities cannot grow.
    let document = roxmltree::Document::parse(text.trim_start()).map_err(|_| INVALID_ACTION)?;
    let envelope = document.root_element();
    let is = |node: &roxmltree::Node<'_, '_>, name: &str| {
        node.tag_name().name() == name && node.tag_name().namespace() == Some(ENVELOPE)
    };
    if !is(&envelope, "Envelope") {
        return Err(INVALID_ACTION);
    }
    let body = envelope.children().find(|node| is(node, "Body")).ok_or(INVALID_ACTION)?;
    let action = body.children().find(roxmltree::Node::is_element).ok_or(INVALID_ACTION)?;
    let call = Call {
        service: action.tag_name().namespace().unwrap_or_default().to_owned(),
        action: action.tag_name().name().to_owned(),
        arguments: action
            .children()
            .filter(roxmltree::Node::is_element)
            .map(|argument| (argument.tag_name().name().to_owned(), argument.text().unwrap_or_default().to_owned()))
            .collect(),
    };
    let named = header.ok_or(INVALID_ACTION)?.trim().trim_matches('"');
    if named != format!("{}#{}", call.service, call.action) {
        return Err(INVALID_ACTION);
    }
    Ok(call)
}

/// The text of an argument, which must be there.
pub(crate) fn argument<'a>(call: &'a Call, name: &str) -> Result<&'a str, Error> {
    call.arguments.get(name).map(|value| value.trim()).ok_or(INVALID_ARGS)
}

/// A number among the arguments.
pub(crate) fn number<T: std::str::FromStr>(call: &Call, name: &str) -> Result<T, Error> {
    argument(call, name)?.parse().map_err(|_| INVALID_ARGS)
}

/// A UPnP error: its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Error(pub(crate) u16);

pub(crate) const INVALID_ACTION: Error = Error(401);
pub(crate) const INVALID_ARGS: Error = Error(402);
pub(crate) const ACTION_FAILED: Error = Error(501);
pub(crate) const NOT_AUTHORIZED: Error = Error(606);
pub(crate) const PINHOLE_SPACE_EXHAUSTED: Error = Error(701);
pub(crate) const FIREWALL_DISABLED: Error = Error(702);
pub(crate) const INBOUND_PINHOLE_NOT_ALLOWED: Error = Error(703);
pub(crate) const NO_SUCH_PINHOLE: Error = Error(704);
pub(crate) const PROTOCOL_NOT_SUPPORTED: Error = Error(705);
pub(crate) const INTERNAL_PORT_WILDCARD: Error = Error(706);
pub(crate) const PROTOCOL_WILDCARD: Error = Error(707);
pub(crate) const SOURCE_WILDCARD: Error = Error(708);
pub(crate) const NO_PACKET_SENT: Error = Error(709);
pub(crate) const INDEX_INVALID: Error = Error(713);
pub(crate) const NO_SUCH_ENTRY: Error = Error(714);
pub(crate) const WILDCARD_EXTERNAL_PORT: Error = Error(716);
pub(crate) const CONFLICT: Error = Error(718);
pub(crate) const SAME_PORT_REQUIRED: Error = Error(724);
pub(crate) const REMOTE_HOST_WILDCARD: Error = Error(726);
pub(crate) const NO_PORT_MAPS: Error = Error(728);

impl Error {
    /// The description in the standards (UDA 1.1, 3.2.2; WANIPConnection:2, 2.5; WANIPv6FirewallControl:1, 2.5).
    fn text(self) -> &'static str {
        match self.0 {
            401 => "Invalid Action",
            402 => "Invalid Args",
            501 => "Action Failed",
            606 => "Action not authorized",
            701 => "PinholeSpaceExhausted",
            702 => "FirewallDisabled",
            703 => "InboundPinholeNotAllowed",
            704 => "NoSuchEntry",
            705 => "ProtocolNotSupported",
            706 => "InternalPortWildcardingNotAllowed",
            707 => "ProtocolWildcardingNotAllowed",
            708 => "WildCardNotPermittedInSrcIP",
            709 => "NoPacketSent",
            713 => "SpecifiedArrayIndexInvalid",
            714 => "NoSuchEntryInArray",
            715 => "WildCardNotPermittedInSrcIP",
            716 => "WildCardNotPermittedInExtPort",
            718 => "ConflictInMappingEntry",
            724 => "SamePortValuesRequired",
            725 => "OnlyPermanentLeasesSupported",
            726 => "RemoteHostOnlySupportsWildcard",
            727 => "ExternalPortOnlySupportsWildcard",
            728 => "NoPortMapsAvailable",
            729 => "ConflictWithOtherMechanisms",
            732 => "WildCardNotPermittedInIntPort",
            _ => "Error",
        }
    }

    /// The fault document (UDA 1.1, 3.2.2).
    pub(crate) fn document(self, with_description: bool) -> String {
        let description = if with_description {
            format!("<errorDescription>{}</errorDescription>", self.text())
        } else {
            String::new()
        };
        envelope(&format!(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
             <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{}</errorCode>{description}</UPnPError>\
             </detail></s:Fault>",
            self.0
        ))
    }
}

/// The answer to a call that succeeded.
pub(crate) fn answer(call: &Call, values: &[(&str, String)]) -> String {
    let values: String = values.iter().map(|(name, value)| format!("<{name}>{}</{name}>", escape(value))).collect();
    let action = &call.action;
    envelope(&format!("<u:{action}Response xmlns:u=\"{}\">{values}</u:{action}Response>", escape(&call.service)))
}

fn envelope(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"{ENVELOPE}\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>{content}</s:Body></s:Envelope>\r\n"
    )
}

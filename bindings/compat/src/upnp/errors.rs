//! The texts of error codes.

use std::ffi::{CStr, c_char, c_int};

/// strupnperror of upnperrors.h: the standard's name of a code (UDA 2.0 3.1.4; WANIPConnection:2 2.5;
/// WANIPv6FirewallControl:1 2.4). Never NULL: programs print it as it comes.
#[unsafe(no_mangle)]
pub extern "C" fn strupnperror(code: c_int) -> *const c_char {
    text(code).as_ptr()
}

const fn text(code: c_int) -> &'static CStr {
    match code {
        0 => c"Success",
        -1 => c"Unknown error",
        -2 => c"Invalid arguments",
        -3 => c"No answer by any protocol",
        -4 => c"Invalid answer",
        -5 => c"Out of memory",
        -101 => c"Socket error",
        -102 => c"Out of memory during the search",
        401 => c"Invalid Action",
        402 => c"Invalid Args",
        501 => c"Action Failed",
        600 => c"Argument Value Invalid",
        601 => c"Argument Value Out of Range",
        602 => c"Optional Action Not Implemented",
        603 => c"Out of Memory",
        604 => c"Human Intervention Required",
        605 => c"String Argument Too Long",
        606 => c"Action not authorized",
        701 => c"PinholeSpaceExhausted",
        702 => c"FirewallDisabled",
        703 => c"InboundPinholeNotAllowed",
        704 => c"NoSuchEntry",
        705 => c"ProtocolNotSupported",
        706 => c"InternalPortWildcardingNotAllowed",
        707 => c"ProtocolWildcardingNotAllowed",
        708 => c"WildCardNotPermittedInSrcIP",
        709 => c"NoPacketSent",
        713 => c"SpecifiedArrayIndexInvalid",
        714 => c"NoSuchEntryInArray",
        715 => c"WildCardNotPermittedInSrcIP",
        716 => c"WildCardNotPermittedInExtPort",
        718 => c"ConflictInMappingEntry",
        724 => c"SamePortValuesRequired",
        725 => c"OnlyPermanentLeasesSupported",
        726 => c"RemoteHostOnlySupportsWildcard",
        727 => c"ExternalPortOnlySupportsWildcard",
        728 => c"NoPortMapsAvailable",
        729 => c"ConflictWithOtherMechanisms",
        730 => c"PortMappingNotFound",
        732 => c"WildCardNotPermittedInIntPort",
        733 => c"InconsistentParameters",
        _ => c"Unknown error of the router",
    }
}

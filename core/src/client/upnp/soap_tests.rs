use super::*;
use crate::schedule::UPNP_DEADLINE;

fn fault(code: impl Into<Option<u16>>, description: &str) -> String {
    Fault { code: code.into(), description: description.to_owned(), status: 500 }.to_string()
}

#[test]
fn a_fault_shows_its_code_the_standard_name_and_what_else_the_router_says() {
    assert_eq!(fault(718, ""), "upnp 718 ConflictInMappingEntry");
    assert_eq!(fault(718, "ConflictInMappingEntry"), "upnp 718 ConflictInMappingEntry");
    assert_eq!(fault(501, "Action Failed"), "upnp 501 ActionFailed");
    assert_eq!(fault(501, "try later"), "upnp 501 ActionFailed (the router says: try later)");
    assert_eq!(fault(899, "SomethingOwn"), "upnp 899 SomethingOwn");
    assert_eq!(fault(899, ""), "upnp 899");
    assert_eq!(fault(None, ""), "upnp http 500 without an error code");
}

#[test]
fn a_fault_counts_whatever_the_status_and_an_answer_only_with_success() {
    let answer = b"<Envelope><Body><XResponse><A>1</A></XResponse></Body></Envelope>";
    let refusal = b"<Envelope><Body><Fault><errorCode>718</errorCode></Fault></Body></Envelope>";
    for status in [200, 404, 500] {
        assert!(matches!(judge(status, refusal), Err(CallError::Fault(Fault { code: Some(718), .. }))), "{status}");
    }
    assert_eq!(judge(200, answer).unwrap()["A"], "1");
    assert!(matches!(judge(404, answer), Err(CallError::Gone(404))));
    assert!(matches!(judge(302, b""), Err(CallError::Nonsense(_))));
    assert!(matches!(judge(500, b"busy"), Err(CallError::Fault(Fault { code: None, status: 500, .. }))));
    assert!(matches!(judge(200, b"<html/>"), Err(CallError::Nonsense(_))));
}

#[test]
fn a_call_that_failed_is_explained_by_the_kind_that_it_deserves() {
    use crate::error::ErrorKind;
    let service = Service::known("http://192.168.1.1/c", "urn:schemas-upnp-org:service:WANIPConnection:1").unwrap();
    let fault = |code| Fault { code: Some(code), description: String::new(), status: 500 };
    for (error, kind, part) in [
        (CallError::Fault(fault(718)), ErrorKind::Refused, "upnp 718 ConflictInMappingEntry"),
        (CallError::Fault(fault(606)), ErrorKind::Refused, "permit this device"),
        (CallError::Gone(404), ErrorKind::Unavailable, "404"),
        (CallError::Nonsense("x".into()), ErrorKind::Unavailable, "makes no sense: x"),
        (CallError::Http(HttpError::Timeout(UPNP_DEADLINE)), ErrorKind::Timeout, "no answer within 1.8 s"),
        (CallError::Http(HttpError::Refused(io::Error::other("r"))), ErrorKind::Transport, "http://192.168.1.1/c: r"),
        (CallError::Http(HttpError::Malformed("m".into())), ErrorKind::Unavailable, "makes no sense: m"),
        (CallError::Unanswered, ErrorKind::Timeout, "did not answer"),
    ] {
        let explained = error.explain("AddPortMapping", &service);
        assert_eq!(explained.kind(), kind, "{explained}");
        assert!(explained.message().contains(part), "{}", explained.message());
    }
}

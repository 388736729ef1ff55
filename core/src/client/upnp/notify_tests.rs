use super::*;

fn read(lines: &[&str]) -> Option<Notification> {
    parse((lines.join("\r\n") + "\r\n\r\n").as_bytes())
}

#[test]
fn an_announcement_is_told_from_answers_searches_and_other_methods() {
    let rest = ["NTS: ssdp:alive", "LOCATION: http://192.168.1.1/d.xml", "USN: uuid:1"];
    let with = |first| read(&[&[first], &rest[..]].concat());
    assert!(with("NOTIFY * HTTP/1.1").is_some());
    for first in ["HTTP/1.1 200 OK", "M-SEARCH * HTTP/1.1", "NOTIFYING * HTTP/1.1", "NOTIF", "", "*"] {
        assert_eq!(with(first), None, "{first}");
    }
}

#[test]
fn an_announcement_may_lead_to_its_sender_only() {
    let sender = [192, 168, 1, 1].into();
    for (location, trusted) in [
        ("http://192.168.1.1:5000/d.xml", true),
        ("http://192.168.1.2:5000/d.xml", false),
        ("http://127.0.0.1/d.xml", false),
        ("https://192.168.1.1/d.xml", false),
        ("http://user@192.168.1.1/d.xml", false),
        ("http://router.lan/d.xml", false),
        ("file:///etc/passwd", false),
    ] {
        let said = read(&["NOTIFY * HTTP/1.1", "NTS: ssdp:alive", &format!("LOCATION: {location}"), "USN: uuid:1"]);
        assert_eq!(said.unwrap().trusted(sender), trusted, "{location}");
    }
}

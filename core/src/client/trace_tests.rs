use std::cell::Cell;

use super::*;
use crate::log::LogLevel;
use crate::log::tests::told;

const ROUTER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 80);

/// What `act` tells at DEBUG, without the protocol, the router and the milliseconds.
fn lines(act: impl FnOnce()) -> Vec<String> {
    let head = format!("upnp {ROUTER}: ");
    let line = |(level, line): (LogLevel, String)| {
        assert_eq!(level, LogLevel::Debug, "{line}");
        line.strip_prefix(&head).unwrap().split(" (").next().unwrap().to_owned()
    };
    told(LogLevel::Debug, act).into_iter().map(line).collect()
}

#[test]
fn an_exchange_is_one_line_with_what_was_asked_and_what_came_back() {
    let begin = || Traced::begin(Protocol::Upnp, ROUTER, || "GET /");
    let lines = lines(|| {
        begin().ended(Ok::<_, NoAnswer<'_>>("200"));
        begin().ended(Err::<&str, _>(NoAnswer(&PortMappingError::timeout("upnp: nothing within 3 s"))));
        drop(begin());
        tell(Protocol::Upnp, ROUTER, "GET /", "200, too late", Duration::from_secs(2));
    });
    assert_eq!(
        lines,
        ["GET /: 200", "GET /: no answer", "GET /: given up before an answer came", "GET /: 200, too late"]
    );
}

#[test]
fn what_a_router_says_cannot_forge_a_line_or_steer_a_terminal() {
    let hostile = "a\r\n2026-01-01 ERROR forged\x1b[2J\u{202e}";
    let lines = lines(|| Traced::begin(Protocol::Upnp, ROUTER, || hostile).ended(Ok::<_, &str>(hostile)));
    let shown = r"a\u{d}\u{a}2026-01-01 ERROR forged\u{1b}[2J\u{202e}";
    assert_eq!(lines, [format!("{shown}: {shown}")]);
}

/// Counts how often it is formatted.
struct Counted<'a>(&'a Cell<u32>);

impl Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("counted")
    }
}

#[test]
fn nothing_is_formatted_or_even_asked_for_if_nobody_listens_so_deep() {
    let formatted = Cell::new(0);
    let act = || {
        let asked = || -> &str { panic!("asked for although nobody listens") };
        Traced::begin(Protocol::Upnp, ROUTER, asked).ended(Ok::<_, &str>(Counted(&formatted)));
        drop(Traced::begin(Protocol::Upnp, ROUTER, asked));
        tell(Protocol::Upnp, ROUTER, Counted(&formatted), Counted(&formatted), Duration::ZERO);
        sent(Protocol::Upnp, ROUTER, Counted(&formatted));
        not_sent(Protocol::Upnp, ROUTER, Counted(&formatted), &PortMappingError::timeout("no"));
    };
    assert_eq!((told(LogLevel::Info, act), formatted.get()), (Vec::new(), 0));
}

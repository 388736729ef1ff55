//! The same program with portlease linked in: mapping, events, probe and stop are all reachable.

use portlease::{Config, MapRequest, Mapper, PortMappingError, Transport};

fn map() -> Result<usize, PortMappingError> {
    let mapper = Mapper::start(Config::default())?;
    let lease = mapper.map(MapRequest::new(4000, Transport::Udp))?;
    let external = portlease::wait(lease.ready(None))?.external();
    let seen = portlease::wait(mapper.probe())?.protocols.len();
    let event = portlease::wait(mapper.next_event(None))?;
    let size = seen + format!("{external:?} {event:?} {:?}", mapper.snapshot()).len();
    portlease::wait(mapper.stop(None));
    Ok(size)
}

fn main() {
    std::process::exit(i32::from(map().unwrap_or_else(|error| error.to_string().len()) > 9000));
}

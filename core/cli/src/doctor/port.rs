//! One port from end to end: the program, this machine's firewall, the router's table, and the internet.

use std::net::SocketAddr;
use std::time::Duration;

use portlease::config::default_state_dir;
use portlease::{Config, MapRequest, Mapper, PortMappingError, Release, TableEntry, Transport};
use serde_json::{Value, json};

use super::firewall::{Firewall, Verdict};
use super::listening::{self, Listening};
use super::reach::{self, Ear, Reach};
use super::router::RouterFacts;
use crate::event::span;

/// How long the mapping for the look from outside may take.
const MAP_DEADLINE: Duration = Duration::from_secs(15);

/// What was found out about one port and transport.
#[derive(Debug)]
pub(crate) struct PortFindings {
    pub(crate) transport: Transport,
    pub(crate) port: u16,
    pub(crate) listening: Listening,
    pub(crate) firewall: Verdict,
    /// The command that opens the firewall.
    opener: String,
    /// Who has the external port, or why that is not known.
    pub(crate) holder: Result<Option<TableEntry>, String>,
    /// Only with a reflector.
    pub(crate) reach: Option<Reach>,
    /// How the mapping for that ended.
    pub(crate) release: Release,
}

impl PortFindings {
    /// Asks this machine and the router. Changes nothing.
    pub(crate) async fn look(
        transport: Transport,
        port: u16,
        firewall: &Firewall,
        router: &RouterFacts,
        interface: Option<&str>,
    ) -> Self {
        Self {
            transport,
            port,
            listening: listening::look(transport, port),
            firewall: firewall.judge(transport, port, interface),
            opener: firewall.opener(transport, port),
            holder: router.entry(transport, port).await,
            reach: None,
            release: Release::Released,
        }
    }

    /// Listens, maps the port unless it is mapped to this machine, and has the reflector send to it.
    pub(crate) async fn look_from(&mut self, reflector: SocketAddr, config: &Config) -> Result<(), PortMappingError> {
        self.reach = Some(self.reached(reflector, config).await?);
        Ok(())
    }

    async fn reached(&mut self, reflector: SocketAddr, config: &Config) -> Result<Reach, PortMappingError> {
        let Self { transport, port, .. } = *self;
        if matches!(self.listening, Listening::Yes(_) | Listening::OnlyHere) {
            return Ok(Reach::Unknown(format!(
                "a program has {port}/{transport}, so doctor cannot listen there: end the program for the check"
            )));
        }
        let ear = match Ear::open(transport, port).await {
            Ok(ear) => ear,
            Err(error) => return Ok(Reach::Unknown(format!("doctor cannot listen on {port}/{transport}: {error}"))),
        };
        if let Ok(Some(entry)) = &self.holder
            && entry.this_machine
            && entry.internal_port == port
        {
            return Ok(reach::check(reflector, transport, port, &ear).await);
        }
        // With the records of `map`, so that a mapping that a running `portlease map` has is neither lost nor released.
        let mut config = config.clone();
        config.state_dir = default_state_dir().ok().flatten();
        let mapper = Mapper::start(config)?;
        let lease = mapper.map(MapRequest::new(port, transport))?;
        let reached = match lease.ready(MAP_DEADLINE).await {
            Ok(snapshot) => {
                let external = snapshot.external_port().unwrap_or(port);
                reach::check(reflector, transport, external, &ear).await
            }
            Err(error) => Reach::Unknown(format!("the port could not be mapped: {}", error.message())),
        };
        self.release = mapper.stop(None).await;
        Ok(reached)
    }

    /// Who has the external port, for people.
    pub(crate) fn holder_text(&self) -> String {
        match &self.holder {
            Ok(None) => "not mapped, as far as the router shows its table".to_owned(),
            Ok(Some(entry)) => {
                let whose = if entry.this_machine { "this machine" } else { "another machine" };
                let end = entry.lifetime.map_or_else(|| "no end".to_owned(), |left| format!("ends in {}", span(left)));
                let name = if entry.description.is_empty() { "no description" } else { &entry.description };
                format!("leads to {whose}, {}:{} ({name}, {end})", entry.internal_client, entry.internal_port)
            }
            Err(why) => format!("not known: {why}"),
        }
    }

    /// What to do about this port, most useful first.
    pub(crate) fn steps(&self) -> Vec<String> {
        let Self { transport, port, .. } = self;
        let mut steps = Vec::new();
        if self.release != Release::Released {
            steps.push(format!(
                "the router did not confirm that {port}/{transport} is released: it may stay mapped for 2 min"
            ));
        }
        if let Verdict::Drops(_) = self.firewall {
            steps.push(format!("open the port in this machine's firewall with: {}", self.opener));
        }
        if let (Some(Reach::Unreachable(_)), Verdict::Passes(_) | Verdict::Unknown(_)) = (&self.reach, &self.firewall) {
            let own = match self.firewall {
                Verdict::Unknown(_) => "this machine's own firewall, ",
                Verdict::Passes(_) | Verdict::Drops(_) => "",
            };
            steps.push(format!(
                "the packet was lost on its way: look at {own}the router's own firewall, another router before it, and whether the \
                 provider blocks the port"
            ));
        }
        match &self.listening {
            Listening::OnlyHere => {
                steps.push(
                    "let your program listen on 0.0.0.0, or on this machine's own address, not on 127.0.0.1".to_owned(),
                );
            }
            Listening::No if self.reach.is_none() => {
                steps.push(format!("start the program that uses {port}/{transport}: now nothing would answer"));
            }
            Listening::Yes(_) | Listening::No | Listening::Unknown(_) => {}
        }
        if let Ok(Some(entry)) = &self.holder
            && !entry.this_machine
        {
            steps.push(format!(
                "{port}/{transport} of the router leads to {}: ask for another external port (--external), or remove that mapping there",
                entry.internal_client
            ));
        }
        steps
    }

    /// What is certain to stand in the way of a packet.
    pub(crate) fn blocked(&self) -> bool {
        matches!(self.firewall, Verdict::Drops(_)) || matches!(self.reach, Some(Reach::Unreachable(_)))
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "port": self.port,
            "transport": self.transport.as_str(),
            "listening": { "verdict": self.listening.as_str(), "evidence": self.listening.text() },
            "firewall": { "verdict": self.firewall.as_str(), "evidence": self.firewall.evidence() },
            "on_router": match &self.holder {
                Err(why) => json!({ "known": false, "reason": why }),
                Ok(None) => json!({ "known": true, "mapped": false }),
                Ok(Some(entry)) => json!({
                    "known": true,
                    "mapped": true,
                    "this_machine": entry.this_machine,
                    "internal_client": entry.internal_client,
                    "internal_port": entry.internal_port,
                    "description": entry.description,
                    "ttl": entry.lifetime.map(|left| left.as_secs()),
                }),
            },
            "reach": self.reach.as_ref().map(|reach| json!({ "verdict": reach.as_str(), "evidence": reach.evidence() })),
            "next": self.steps(),
        })
    }
}

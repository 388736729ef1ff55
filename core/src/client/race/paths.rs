//! Several default routes: which gateway is asked when.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::RaceMapper;
use super::failure::{Failure, combine};
use super::gateways::Gateway;
use super::moves::{any_about_this_machine, is_among, is_same};
use crate::error::PortMappingError;
use crate::mapping::{MapRequest, PortMapping};
use crate::net::route::NetworkPath;
use crate::schedule::PATH_HEDGE;
use crate::snapshot::{GatewayReport, ProtocolReport};

impl RaceMapper {
    /// Asks for a mapping in the present network; once more if the machine was on its way to another one.
    pub(super) async fn install_here(
        &self,
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<PortMapping, PortMappingError> {
        if request.family != self.family {
            let message =
                format!("`{}` is not `{}`, the only family that this client asks for", request.family, self.family);
            return Err(PortMappingError::invalid("family", message));
        }
        let here = self.look()?;
        let _asking = self.holdings.ask(request);
        let mut outcome = self.install_at(&here, request, ttl).await;
        let doubtful = match &outcome {
            Ok(_) => !self.stays(&here),
            Err(failures) => any_about_this_machine(failures),
        };
        if doubtful {
            let now = self.look_up().inspect_err(|_| self.leave_behind(request, &[]))?;
            let stands = outcome.as_ref().is_ok_and(|(path, _)| is_among(&now, path));
            if !stands && !is_same(&now, &here) {
                outcome = self.install_at(&now, request, ttl).await;
            }
        }
        match outcome {
            Ok((_, mapping)) => Ok(mapping),
            Err(failures) => {
                let port = request.internal_port;
                Err(combine(&failures, &format!("{} port {port} could not be mapped", request.transport)))
            }
        }
    }

    async fn install_at(
        &self,
        here: &[Gateway],
        request: &MapRequest,
        ttl: Duration,
    ) -> Result<(NetworkPath, PortMapping), Vec<Failure>> {
        self.leave_behind(request, here);
        let before = self.holdings.of(request);
        let (gateway, mapping) = match here {
            [only] => (only, self.install_on(only, request, ttl).await?),
            several => {
                let ask = |gateway| self.install_on(gateway, request, ttl);
                in_turn(several, ask).await.map_err(|failures| failures.into_iter().flatten().collect::<Vec<_>>())?
            }
        };
        if let Ok(maker) = gateway.client_for(&mapping) {
            if here.len() > 1 {
                // A loser may have been granted its mapping in the same instant.
                self.holdings.hold(&mapping, &maker);
            }
            if let Some(before) = before.filter(|before| !before.maker.shares_table_with(&maker)) {
                self.holdings.leave(&before.mapping, &before.maker);
            }
            self.granted_address(&maker, &mapping, None);
            self.tidy_behind(&mapping, &maker, here);
            self.gateways().prove(&gateway.path);
        }
        Ok((gateway.path.clone(), mapping))
    }

    /// The report of the first gateway that offers something, else that of the first.
    pub(super) async fn report_here(&self) -> Result<GatewayReport, PortMappingError> {
        let here = self.look()?;
        let report = match &here[..] {
            [only] => report_of(only).await.unwrap_or_else(|silent| silent),
            several => match in_turn(several, report_of).await {
                Ok((_, report)) => report,
                Err(silent) => silent.into_iter().next().unwrap_or_else(|| GatewayReport::new(None)),
            },
        };
        Ok(report)
    }
}

/// What the gateway offers by each protocol; an error if it offers nothing.
async fn report_of(gateway: &Gateway) -> Result<GatewayReport, GatewayReport> {
    let mut asked = JoinSet::new();
    for (position, contestant) in gateway.contestants.iter().cloned().enumerate() {
        asked.spawn(async move { (position, contestant.protocol, contestant.client.probe_protocol().await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(position, ..)| *position);
    let reports = answers.into_iter().map(|(_, protocol, outcome)| ProtocolReport { protocol, outcome });
    let report = GatewayReport::new(Some(gateway.path.clone())).protocols(reports.collect::<Vec<_>>());
    if gateway.learn(&report) { Ok(report) } else { Err(report) }
}

/// Asks the first gateway, and each next one as soon as the one before has failed, or has said nothing for a while. Answers
/// with the first success, and stops asking the others; or with every failure, in the order of the gateways.
async fn in_turn<'a, T, E, F: Future<Output = Result<T, E>>>(
    gateways: &'a [Gateway],
    ask: impl Fn(&'a Gateway) -> F,
) -> Result<(&'a Gateway, T), Vec<E>> {
    let turns: Vec<Notify> = gateways.iter().map(|_| Notify::new()).collect();
    let ask_in_turn = async |place: usize| {
        if place > 0 {
            turns[place].notified().await;
        }
        let outcome = tokio::select! {
            biased;
            outcome = ask(&gateways[place]) => outcome,
            never = let_next_ask(gateways, &turns, place) => match never {},
        };
        if outcome.is_err()
            && let Some(next) = turns.get(place + 1)
        {
            next.notify_one();
        }
        (place, outcome)
    };
    let mut running: Vec<_> = (0..gateways.len()).map(|place| Box::pin(ask_in_turn(place))).collect();
    let mut failures = Vec::new();
    while !running.is_empty() {
        match any(&mut running).await {
            (place, Ok(answer)) => return Ok((&gateways[place], answer)),
            (place, Err(failure)) => failures.push((place, failure)),
        }
    }
    failures.sort_by_key(|(place, _)| *place);
    Err(failures.into_iter().map(|(_, failure)| failure).collect())
}

/// Lets the next gateway ask beside the one at `place`, if that one gives no sign of life. A path without a gateway waits for
/// its failure: it needs nobody's grant, and would always be first.
async fn let_next_ask(gateways: &[Gateway], turns: &[Notify], place: usize) -> Infallible {
    let began = Instant::now();
    sleep(PATH_HEDGE).await;
    if let Some((next, turn)) = gateways.get(place + 1).zip(turns.get(place + 1))
        && !next.contestants.is_empty()
        && !gateways[place].known.was_heard_since(began)
    {
        turn.notify_one();
    }
    pending().await
}

/// The output of the first of the futures that ends, which is taken out.
async fn any<F: Future>(running: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|context| {
        for place in 0..running.len() {
            if let Poll::Ready(outcome) = running[place].as_mut().poll(context) {
                drop(running.remove(place));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

//! The nonces of a mapper's ports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::mapping::{LeaseKey, MapRequest};

/// The nonce of a mapping (RFC 6887 11.1): who knows it can renew and delete the mapping.
pub(crate) type Nonce = [u8; 12];

/// One nonce for each port, random at first. It is kept for longer than the mapping: if the answer to a request was lost, or
/// a mapping was given up while the gateway was away or the machine was in another network, the gateway has an entry that
/// only its first nonce can renew or delete. Copies share the nonces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nonces(Arc<Mutex<HashMap<LeaseKey, Nonce>>>);

impl Nonces {
    /// The nonce of the port that `request` is about.
    pub(crate) fn of(&self, request: &MapRequest) -> Nonce {
        self.with(|all| *all.entry(request.key()).or_insert_with(rand::random))
    }

    /// The port has `nonce` from now on: an earlier run of the program, or the caller, chose it.
    pub(crate) fn set(&self, request: &MapRequest, nonce: Nonce) {
        self.with(|all| all.insert(request.key(), nonce));
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<LeaseKey, Nonce>) -> T) -> T {
        // Every change is a single call of the map, so a poisoned one is still whole.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::udp::tests::FakeGateway;
    use crate::client::{PcpMapper, PortMapperClient};
    use crate::mapping::Transport;

    #[test]
    fn a_port_keeps_its_nonce_in_every_copy_and_each_transport_has_its_own() {
        let nonces = Nonces::default();
        let [udp, tcp] = Transport::ALL.map(|transport| MapRequest::new(4000, transport));
        let first = nonces.of(&udp);
        assert_eq!(nonces.clone().of(&udp), first);
        assert_ne!(nonces.of(&tcp), first);
        nonces.clone().set(&udp, *b"twelve bytes");
        assert_eq!(nonces.of(&udp), *b"twelve bytes");
    }
    #[tokio::test]
    async fn clients_of_different_gateways_ask_with_the_same_nonce() {
        let nonces = Nonces::default();
        let mut asked = Vec::new();
        for _ in 0..2 {
            // NOT_AUTHORIZED.
            let refuse = |request: &[u8]| vec![[&[2, 0x81, 0, 2], &request[4..]].concat()];
            let (mut requests, port) = FakeGateway::answering(refuse).await;
            let client = PcpMapper::on(port).with_nonces(nonces.clone());
            client.install(&MapRequest::new(4000, Transport::Udp), Duration::from_secs(60)).await.unwrap_err();
            asked.push(requests.recv().await.unwrap()[24..36].to_vec());
        }
        assert_eq!(asked[0], asked[1]);
        assert_eq!(asked[0], nonces.of(&MapRequest::new(4000, Transport::Udp)));
    }
}

// The real @libp2p/upnp-nat with portlease as its port-mapping client, and the least of libp2p around it.
import { start, stop } from '@libp2p/interface';
import { defaultLogger } from '@libp2p/logger';
import { uPnPNAT } from '@libp2p/upnp-nat';
import { isPrivate } from '@libp2p/utils';
import { multiaddr } from '@multiformats/multiaddr';
import { TypedEventEmitter } from 'main-event';

/** Whether libp2p would map a port of this address at all. */
export function isMappable(address) {
  return isPrivate(multiaddr(`/ip4/${address}/tcp/1`));
}

/** Starts the service for a node that listens on `address`; `mapped` resolves with what it tells libp2p. */
export async function startService({ portMappingClient, address, port, ...init }) {
  let tell;
  const mapped = new Promise((resolve) => {
    tell = resolve;
  });
  const addressManager = {
    getAddressesWithMetadata: () => [{ multiaddr: multiaddr(`/ip4/${address}/tcp/${port}`), type: 'transport' }],
    addPublicAddressMapping: (...mapping) => tell(mapping),
    removePublicAddressMapping: () => {},
    confirmObservedAddr: () => {},
  };
  const components = {
    peerId: { toString: () => 'a peer' },
    nodeInfo: { name: 'test', version: '1.0.0' },
    logger: defaultLogger(),
    events: new TypedEventEmitter(),
    addressManager,
  };
  const service = uPnPNAT({ portMappingClient, autoConfirmAddress: true, ...init })(components);
  await start(service);
  return { mapped, stop: () => stop(service) };
}

// A real webtorrent client, which maps its ports by portlease as the README says: listens, says so, and ends with its input.

import WebTorrent from 'webtorrent';
import NatAPI from '../../dist/nat-api.mjs';

// Nothing of it goes to the internet.
const local = { dht: { bootstrap: false }, tracker: false, lsd: false, utp: false };
const client = new WebTorrent({ ...local, natUpnp: false, natPmp: false });
client.natTraversal = new NatAPI();
client.on('error', (error) => {
  throw error;
});
const listening = [client, client.dht].map((one) => new Promise((resolve) => one.once('listening', resolve)));
process.stdin.resume().once('end', () => client.destroy(() => console.log('destroyed')));
await Promise.all(listening);
console.log(JSON.stringify({ tcp: client.torrentPort, udp: client.dht.address().port }));

// A real webtorrent client: listens, says so, and ends with its input. It is unchanged: the package that maps its ports is
// replaced by `overrides` in package.json. With an argument it is handed portlease, as the README says.

import WebTorrent from 'webtorrent';
import NatAPI from '../../dist/nat-api.mjs';

// Nothing of it goes to the internet.
const local = { dht: { bootstrap: false }, tracker: false, lsd: false, utp: false };
const handed = process.argv.length > 2;
const client = new WebTorrent(handed ? { ...local, natUpnp: false, natPmp: false } : local);
if (handed) client.natTraversal = new NatAPI();
client.on('error', (error) => {
  throw error;
});
const listening = [client, client.dht].map((one) => new Promise((resolve) => one.once('listening', resolve)));
process.stdin.resume().once('end', () => client.destroy(() => console.log('destroyed')));
await Promise.all(listening);
console.log(JSON.stringify({ tcp: client.torrentPort, udp: client.dht.address().port }));

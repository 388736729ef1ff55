// A real webtorrent client: listens, which maps its ports, and says so; ends with its input.
import WebTorrent from 'webtorrent';

// Nothing of it goes to the internet.
const client = new WebTorrent({ dht: { bootstrap: false }, tracker: false, lsd: false, utp: false });
client.on('error', (error) => {
  throw error;
});
const listening = [client, client.dht].map((one) => new Promise((resolve) => one.once('listening', resolve)));
process.stdin.resume().once('end', () => client.destroy(() => console.log('destroyed')));
await Promise.all(listening);
console.log(JSON.stringify({ tcp: client.torrentPort, udp: client.dht.address().port }));

// The npm packages take turns as turns.mjs does in the lab, each used as its own documentation shows.
// Arguments: WHICH [GATEWAY LOCAL_ADDRESS], the addresses for those that want to be told.
import { createInterface } from 'node:readline';
import { pmpNat, upnpNat } from '@achingbrain/nat-port-mapper';
import NatAPI from '@silentbot1/nat-api';

const [which, gatewayAddress, localAddress] = process.argv.slice(2);

const peers = {
  async 'nat-api'(port) {
    const client = new NatAPI();
    const mapped = await client.map({ publicPort: port, privatePort: port, protocol: 'UDP', ttl: 3600 });
    const address = mapped && (await client.externalIp());
    return { external: mapped && `${address}:${port}`, release: () => client.destroy() };
  },

  async 'nat-port-mapper-upnp'(port) {
    for await (const gateway of upnpNat().findGateways()) {
      if (gateway.family === 'IPv4') return await mapWith(gateway, port);
    }
    throw new Error('no gateway found');
  },

  async 'nat-port-mapper-nat-pmp'(port) {
    return mapWith(pmpNat(gatewayAddress), port);
  },
};

async function mapWith(gateway, port) {
  // Where it refreshes, which it would in an hour, its `stop` fails.
  const options = { protocol: 'udp', ttl: 3_600_000, autoRefresh: false };
  const { externalHost, externalPort } = await gateway.map(port, localAddress, options);
  const release = async () => {
    await gateway.unmap(port, options);
    await gateway.stop();
  };
  return { external: `${externalHost}:${externalPort}`, release };
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const begin = process.hrtime.bigint();
    const { external, release } = await peers[which](Number(line.split(' ')[1]));
    const elapsed = process.hrtime.bigint() - begin;
    // Reported, but no failure to map: the notes tell who leaves what on the router.
    await release().catch((error) => console.error(`${which}: cannot release: ${error.message}`));
    console.log(external ? `${elapsed} ${external}` : 'error no mapping, and no word of why');
  } catch (error) {
    console.log(`error ${error.message.split('\n')[0]}`);
  }
}
process.exit(); // some keep timers

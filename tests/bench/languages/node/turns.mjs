// Takes turns, as tests/bench/languages.py describes. Arguments: GATEWAY PCP_PORT SSDP_ADDRESS PORT, or none in the lab.
import { createInterface } from 'node:readline';
import { Mapper, open, PortLeaseError } from 'portlease';

const now = process.hrtime.bigint;

function read(reads) {
  let last;
  const begin = now();
  for (let i = 0; i < reads; i++) last = lease.snapshot();
  const elapsed = now() - begin;
  if (!last.active) throw new Error(JSON.stringify(last));
  return elapsed;
}

async function mapAndStop(port) {
  const begin = now();
  const lease = mapper.map({ port });
  await lease.ready({ timeout: 5000 });
  await lease.stop();
  return now() - begin;
}

async function openPort(port) {
  const begin = now();
  const lease = await open(port);
  const { external, protocol } = lease.snapshot();
  const elapsed = now() - begin;
  await lease.stop();
  return `${elapsed} ${external} ${protocol}`;
}

const [gateway, pcpPort, ssdpAddress, port] = process.argv.slice(2);
let mapper;
let lease;
if (gateway) {
  mapper = Mapper.start({ gateway, pcpPort: Number(pcpPort), ssdpAddress, protocols: ['pcp'] });
  lease = mapper.map({ port: Number(port) });
  await lease.ready({ timeout: 5000 });
}

const turns = { snapshot: read, map: mapAndStop, open: openPort };
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, number] = line.split(' ');
  try {
    console.log(`${await turns[verb](Number(number))}`);
  } catch (error) {
    if (!(error instanceof PortLeaseError)) throw error;
    console.log(`error ${error.kind}: ${error.message}`);
  }
}
await mapper?.stop();

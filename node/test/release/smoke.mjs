// What a program does with the package, in Node, Bun or Deno, in a project that has nothing else: maps a port on the
// simulated gateway, hears of it, follows a change of the address, is refused, and stops. Prints one line if all is well.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import process from 'node:process';
import { Mapper, PortLeaseError } from 'portlease';
import { Gateway } from 'portlease/testing';

const gateway = await Gateway.start();
const mapper = Mapper.start(gateway.config);
const heard = [];
const listening = (async () => {
  for await (const { kind } of mapper.events()) heard.push(kind);
})();
const told = [];
mapper.on('installed', ({ external }) => told.push(String(external)));

const lease = mapper.map({ port: 9001, transport: 'udp' });
const first = await lease.ready({ timeout: 10_000 });
assert.equal(String(first.external), '192.0.1.1:9001');
assert.equal(gateway.mappings()[0].externalPort, 9001);

gateway.setExternalAddress('198.51.100.7');
gateway.reboot();
mapper.networkChanged();
let seen = lease.snapshot();
while (String(seen.external) !== '198.51.100.7:9001') seen = await lease.changed({ since: seen, timeout: 10_000 });

gateway.setFaults({ pcp: { refuse: 2 }, natPmp: 'off', upnp: 'off' });
const refusal = await mapper
  .map({ port: 9002 })
  .ready({ timeout: 10_000 })
  .catch((error) => error);
assert.ok(refusal instanceof PortLeaseError, String(refusal));
assert.deepEqual([refusal.kind, refusal.code], ['refused', 'ERR_PORTLEASE_REFUSED']);

gateway.setFaults({ pcp: 'normal' });
assert.equal(await lease.stop(), 'released');
await mapper.stop();
await listening;
assert.deepEqual(gateway.mappings(), []);
assert.deepEqual(told.slice(0, 1), ['192.0.1.1:9001']);
for (const kind of ['installed', 'changed', 'failed', 'exited']) assert.ok(heard.includes(kind), `${kind}: ${heard}`);
await gateway.stop();

// The other half of the package: the same classes for programs that require it.
const require = createRequire(import.meta.url);
const required = require('portlease');
assert.ok(refusal instanceof required.PortLeaseError);

const { bun, deno, node } = process.versions;
const runtime = deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
console.log(
  `portlease ${require('portlease/package.json').version} works: ${runtime}, ${process.platform} ${process.arch}`,
);

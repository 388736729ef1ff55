// NatAPI: in both call forms, and in the place of the real one in a real webtorrent.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import NatAPI, { NatAPI as named } from 'portlease/nat-api';
import Original from './consumers/node_modules/nat-api-original/index.js';
import { environmentOf, gatewayFor, runWell } from './helpers.mjs';

async function clientFor(t, { gateway: settings, ...options } = {}) {
  const gateway = await gatewayFor(t, settings);
  const client = new NatAPI({ ...gateway.config, ...options });
  t.after(() => client.destroy().catch(() => {}));
  const ports = () =>
    gateway.mappings().map((one) => `${one.transport} ${one.externalPort} ${one.internal.split(':')[1]}`);
  return { gateway, client, ports };
}

describe('NatAPI', () => {
  it('has every public method and option of the original', () => {
    assert.equal(NatAPI, named);
    const methods = (of) => Object.getOwnPropertyNames(of.prototype).filter((name) => !name.startsWith('_'));
    assert.deepEqual(methods(NatAPI).sort(), methods(Original).sort());
  });

  it('takes any lifetime and description, as the original does', async (t) => {
    const { gateway, client } = await clientFor(t, { gateway: { pcp: false, natPmp: false }, ttl: 604_800 });
    const description = 'x'.repeat(100);
    assert.equal(await client.map({ publicPort: 9001, protocol: 'TCP', description }), true);
    const [mapping] = gateway.mappings();
    assert.equal(mapping.description, description.slice(0, 64));
    assert.ok(mapping.expiresIn > 86_300_000 && mapping.expiresIn <= 86_400_000);
  });

  it('keeps the process alive from its first use until it is destroyed, as the original does', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import NatAPI from 'portlease/nat-api';
       const client = new NatAPI(CONFIG);
       setTimeout(() => console.log('mapped still'), 300).unref();
       setTimeout(() => client.destroy().then(() => console.log('destroyed')), 310).unref();
       await client.map(9001);`,
      { gateway },
    );
    assert.deepEqual(lines, ['mapped still', 'destroyed']);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('maps UDP and TCP where no protocol is named', async (t) => {
    const { gateway, client, ports } = await clientFor(t);
    assert.equal(await client.map(9001), true);
    assert.deepEqual(ports(), ['udp 9001 9001', 'tcp 9001 9001']);
    assert.ok(gateway.mappings().every(({ expiresIn }) => expiresIn > 7_100_000 && expiresIn <= 7_200_000));
    assert.equal(await client.map(9002, 9003), true);
    assert.deepEqual(
      ports().filter((port) => port.includes('9002')),
      ['udp 9002 9003', 'tcp 9002 9003'],
    );
    assert.equal(await client.unmap(9001), true);
    assert.equal(await client.unmap(9002, 9003), true);
    assert.deepEqual(ports(), []);
  });

  it('maps what an object says, in any case', async (t) => {
    const { gateway, client, ports } = await clientFor(t, { enablePMP: false });
    const port = { publicPort: 80, privatePort: 8080, protocol: 'tcp', description: 'web', ttl: 1800 };
    assert.equal(await client.map(port), true);
    assert.deepEqual(ports(), ['tcp 80 8080']);
    const [mapping] = gateway.mappings();
    assert.deepEqual([mapping.protocol, mapping.description, mapping.expiresIn], ['upnp', 'web', 1_800_000]);
    assert.equal(await client.map({ ...port, protocol: 'UDP' }), true);
    assert.equal(await client.unmap({ ...port, protocol: 'TCP' }), true);
    assert.deepEqual(ports(), ['udp 80 8080']);
  });

  it('takes ports as text in an object, as they come from a command line', async (t) => {
    const { client, ports } = await clientFor(t);
    assert.equal(await client.map({ publicPort: '9002', privatePort: '9003', protocol: 'UDP' }), true);
    assert.equal(await client.map({ publicPort: '9004', protocol: 'UDP' }), true);
    assert.deepEqual(ports(), ['udp 9002 9003', 'udp 9004 9004']);
    assert.equal(await client.unmap({ publicPort: 9002, privatePort: 9003, protocol: 'UDP' }), true);
    assert.equal(await client.map({ publicPort: 'x', protocol: 'UDP' }), false);
    await assert.rejects(client.map({ publicPort: ' ' }), { message: 'port was not specified' });
    await assert.rejects(client.map('9001'), { message: 'port was not specified' });
  });

  it('calls back where it is given a callback', async (t) => {
    const { client, ports } = await clientFor(t);
    const call = (name) => promisify((...args) => client[name](...args));
    assert.equal(await call('map')(9001), true);
    assert.equal(await call('map')(9002, 9003), true);
    assert.equal(await call('map')({ publicPort: 9004, protocol: 'UDP' }), true);
    assert.equal(ports().length, 5);
    assert.equal(await call('externalIp')(), '192.0.1.1');
    assert.equal(await call('unmap')(9001), true);
    await assert.rejects(call('unmap')(9001), { message: 'no protocols succeeded' });
    assert.equal(await call('destroy')(), true);
    await assert.rejects(call('destroy')(), { message: 'client already destroyed' });
    assert.deepEqual(ports(), []);
  });

  it('says false where the router does', async (t) => {
    const { client, gateway } = await clientFor(t, { gateway: { faults: { tableFull: true } } });
    assert.equal(await client.map(9001), false);
    gateway.setFaults({ tableFull: false });
    assert.equal(await client.map(9001), true);
    assert.equal(await client.unmap(9999), false);
  });

  it('takes the public port that is named or none', async (t) => {
    const { client, gateway, ports } = await clientFor(t);
    gateway.addMapping({ transport: 'tcp', externalPort: 9001, internal: '127.0.0.9:1' });
    assert.equal(await client.map({ publicPort: 9001, protocol: 'TCP' }), false);
    assert.deepEqual(ports(), ['tcp 9001 1']);
  });

  it('maps a port that is mapped already', async (t) => {
    const { client, ports } = await clientFor(t);
    assert.deepEqual(await Promise.all([client.map(9001), client.map(9001)]), [true, true]);
    assert.equal(await client.map(9001), true);
    assert.equal(ports().length, 2);
  });

  it('has unmapped only what the router has confirmed', async (t) => {
    const { client, gateway } = await clientFor(t);
    assert.equal(await client.map({ publicPort: 9001, protocol: 'UDP' }), true);
    gateway.setFaults({ natPmp: 'silent', upnp: 'silent', pcp: 'silent' });
    assert.equal(await client.unmap({ publicPort: 9001, protocol: 'UDP' }), false);
  });

  it('has an address only where the router has one', async (t) => {
    const { client, gateway } = await clientFor(t);
    assert.equal(await client.externalIp(), '192.0.1.1');
    gateway.setFaults({ natPmp: 'off', upnp: 'off', pcp: 'off' });
    assert.equal(await client.externalIp(), '');
  });

  it('refuses what the original refuses, in its words', async (t) => {
    const { client } = await clientFor(t);
    await assert.rejects(client.map(), { message: 'port was not specified' });
    await assert.rejects(client.map('9001'), { message: 'port was not specified' });
    await assert.rejects(client.map({ publicPort: 1, privatePort: 1, protocol: 'SCTP' }), {
      message: 'protocol is invalid',
    });
    assert.equal(await client.destroy(), true);
    await assert.rejects(client.destroy(), { message: 'client already destroyed' });
    for (const name of ['map', 'unmap', 'externalIp']) {
      await assert.rejects(client[name](9001), { message: 'client is destroyed' });
    }
  });

  it('with every protocol off maps nothing', async (t) => {
    const { client } = await clientFor(t, { enablePMP: false, enableUPNP: false });
    assert.equal(await client.map(9001), false);
    assert.equal(await client.externalIp(), '');
  });
});

describe('webtorrent', () => {
  for (const [how, ...args] of [['unchanged, with nat-api replaced'], ['handed a NatAPI', 'handed']]) {
    it(`${how}: has its ports mapped by it, and unmapped when it is destroyed`, { timeout: 30_000 }, async (t) => {
      const gateway = await gatewayFor(t);
      const child = spawn(process.execPath, ['--import', './register.mjs', 'webtorrent.mjs', ...args], {
        cwd: new URL('consumers/', import.meta.url),
        env: { ...process.env, PORTLEASE_GATEWAY: environmentOf(gateway) },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      t.after(() => child.kill('SIGKILL'));
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      const { tcp, udp } = JSON.parse((await lines.next()).value);
      const { mappings } = await gateway.waitFor(({ mappings }) => mappings.length === 2);
      assert.deepEqual(
        mappings.map((one) => [one.transport, one.externalPort, one.internal]),
        [
          ['udp', udp, `127.0.0.1:${udp}`],
          ['tcp', tcp, `127.0.0.1:${tcp}`],
        ],
      );
      child.stdin.end();
      assert.equal((await lines.next()).value, 'destroyed');
      assert.deepEqual(gateway.mappings(), []);
      assert.deepEqual(await once(child, 'exit'), [0, null]);
    });
  }
});

// The clients of nat-upnp and of @runonflux/nat-upnp, and the former in the place of the real one in a real program.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import natUpnp, { Client, createClient } from 'portlease/nat-upnp';
import { environmentOf, gatewayFor, runWell } from './helpers.mjs';

const UPNP_ONLY = { pcp: false, natPmp: false };

async function clientFor(t, settings) {
  const gateway = await gatewayFor(t, settings);
  const client = createClient(gateway.config);
  t.after(() => client.close());
  const ports = () =>
    gateway.mappings().map((one) => `${one.transport} ${one.externalPort} ${one.internal.split(':')[1]}`);
  const call = (name, ...args) => promisify(client[name].bind(client))(...args);
  return { gateway, client, ports, call };
}

/** A mapping of this host that an earlier run of a program has left on the router. */
const LEFT = { transport: 'tcp', externalPort: 7000, internal: '127.0.0.1:7000' };

describe('nat-upnp', () => {
  it('has what the originals have, required and imported', () => {
    const { createClient: required } = createRequire(import.meta.url)('portlease/nat-upnp');
    assert.equal(typeof required, 'function');
    assert.deepEqual(natUpnp, { createClient, Client });
    // Of nat-upnp 1.1.1 and nat-upnp-2 3.0.3, and then those of @runonflux/nat-upnp 1.0.2.
    const callbacks = ['portMapping', 'portUnmapping', 'getMappings', 'externalIp', 'findGateway', 'close'];
    const promises = ['createMapping', 'removeMapping', 'getMappings', 'getPublicIp', 'getGateway', 'close'];
    for (const name of [...callbacks, ...promises]) assert.equal(typeof Client.prototype[name], 'function', name);
    assert.equal(typeof Client.create, 'function');
  });

  it('maps a port and unmaps it, with callbacks', async (t) => {
    const { gateway, ports, call, client } = await clientFor(t, UPNP_ONLY);
    assert.equal(client.portMapping({ public: 80, private: 8080 }, undefined), undefined);
    await gateway.waitFor(({ mappings }) => mappings.length === 1);
    assert.equal(await call('portMapping', { public: 80, private: 8080, ttl: 10 }), undefined);
    assert.deepEqual(ports(), ['tcp 80 8080']);
    assert.equal(gateway.mappings()[0].description, 'node:nat:upnp');
    await call('portMapping', { public: '81', private: { port: 8081 }, protocol: 'udp', description: 'x'.repeat(99) });
    assert.deepEqual(ports().sort(), ['tcp 80 8080', 'udp 81 8081']);
    assert.ok(gateway.mappings().some(({ description }) => description === 'x'.repeat(64)));
    await call('portUnmapping', { public: 81, protocol: 'UDP' });
    await call('portUnmapping', { public: { port: 80, host: '' } });
    assert.deepEqual(ports(), []);
  });

  it('maps a port and unmaps it, with promises', async (t) => {
    const { ports, client } = await clientFor(t);
    assert.deepEqual(await client.createMapping({ public: 9001, private: 9002 }), {});
    assert.deepEqual(ports(), ['tcp 9001 9002']);
    assert.equal(await client.getPublicIp(), '192.0.1.1');
    assert.deepEqual(await client.removeMapping({ public: 9001 }), {});
    assert.deepEqual(ports(), []);
  });

  it('calls back with nothing but null, so that a chain of callbacks goes on', async (t) => {
    const { client } = await clientFor(t);
    const args = await new Promise((resolve) => client.portMapping({ public: 9001 }, (...all) => resolve(all)));
    assert.deepEqual(args, [null]);
  });

  it('asks for the lifetime that is named, and for a day in the place of ever', async (t) => {
    const { client, gateway } = await clientFor(t);
    for (const [ttl, seconds] of [
      [undefined, 1800],
      [600, 600],
      ['700', 700],
      [0, 86_400],
      [1e9, 86_400],
    ]) {
      await client.createMapping({ public: 9001, ttl });
      const [{ expiresIn }] = gateway.mappings();
      assert.ok(expiresIn > (seconds - 5) * 1000 && expiresIn <= seconds * 1000, `${ttl}: ${expiresIn}`);
      await client.removeMapping({ public: 9001 });
    }
  });

  it('lets a program ask again for what it has, and map the port to another one', async (t) => {
    const { client, gateway, ports } = await clientFor(t);
    await client.createMapping({ public: 9001, private: 9001 });
    const before = gateway.counters().pcpMap;
    await client.createMapping({ public: 9001, private: 9001 });
    assert.equal(gateway.counters().pcpMap, before);
    await client.createMapping({ public: 9001, private: 9002 });
    assert.deepEqual(ports(), ['tcp 9001 9002']);
  });

  it('says why not, and maps once the router does', async (t) => {
    const { call, gateway, ports } = await clientFor(t, { faults: { pcp: { refuse: 2 }, natPmp: 'off', upnp: 'off' } });
    await assert.rejects(call('portMapping', { public: 9001, private: 9001 }), { kind: 'refused' });
    gateway.setFaults({ pcp: 'normal' });
    await call('portMapping', { public: 9002, private: 9002 });
    assert.deepEqual(ports(), ['tcp 9002 9002']);
  });

  it('takes the public port that is named or none', async (t) => {
    const { client, gateway } = await clientFor(t, UPNP_ONLY);
    gateway.addMapping({ transport: 'tcp', externalPort: 9001, internal: '127.0.0.9:1' });
    await assert.rejects(client.createMapping({ public: 9001, private: 9001 }), { kind: 'refused' });
  });

  it('refuses what it cannot do, and names it', async (t) => {
    const { client } = await clientFor(t);
    await assert.rejects(client.createMapping({ public: { port: 1, host: '198.51.100.7' } }), /public\.host/);
    await assert.rejects(client.createMapping({ public: 1, protocol: 'sctp' }), /protocol: must be UDP or TCP/);
    await assert.rejects(client.createMapping({}), { kind: 'invalid' });
    await assert.rejects(
      client.createMapping({ public: 1, private: { port: 1, host: '192.0.2.77' } }),
      /192\.0\.2\.77/,
    );
  });

  it('shows the table of the router, whoever made its lines', async (t) => {
    const { call, gateway, client } = await clientFor(t, UPNP_ONLY);
    gateway.addMapping({ transport: 'udp', externalPort: 53, internal: '127.0.0.9:53' });
    await call('portMapping', { public: 80, private: 8080, ttl: 600, description: 'web' });
    const all = await call('getMappings');
    assert.deepEqual(
      all.map((one) => one.public.port).sort((a, b) => a - b),
      [53, 80],
    );
    const [web] = await client.getMappings({ local: true });
    assert.ok(web.ttl > 590 && web.ttl <= 600);
    assert.deepEqual(
      { ...web, ttl: 600 },
      {
        public: { host: '', port: 80 },
        private: { host: '127.0.0.1', port: 8080 },
        protocol: 'tcp',
        enabled: true,
        description: 'web',
        ttl: 600,
        local: true,
      },
    );
    const named = async (description) => (await call('getMappings', { description })).length;
    assert.deepEqual(await Promise.all(['we', /^w/g, 'nothing'].map(named)), [1, 1, 0]);
  });

  it('shows its own mappings where the router has no table', async (t) => {
    const { client } = await clientFor(t, { upnp: false });
    await assert.rejects(client.getMappings(), { kind: 'unavailable' });
    await client.createMapping({ public: 9001, private: 9002, description: 'mine' });
    const [mapping, ...others] = await client.getMappings();
    assert.deepEqual(others, []);
    assert.deepEqual([mapping.public.port, mapping.private.port, mapping.description], [9001, 9002, 'mine']);
  });

  it('unmaps what an earlier run has left on the router, and says if nothing is there', async (t) => {
    const { call, gateway, ports } = await clientFor(t);
    gateway.addMapping(LEFT);
    await call('portUnmapping', { public: 7000 });
    assert.deepEqual(ports(), []);
    await assert.rejects(call('portUnmapping', { public: 7000 }), /no mapping of tcp port 7000 is on the router/);
  });

  it('tells the address and the router', async (t) => {
    const { call, client, gateway } = await clientFor(t);
    assert.equal(await call('externalIp'), '192.0.1.1');
    const { gateway: router, address } = await client.getGateway();
    assert.deepEqual([new URL(router.description).hostname, address], ['127.0.0.1', '127.0.0.1']);
    assert.deepEqual(await call('findGateway'), router);
    gateway.setFaults({ natPmp: 'off', upnp: 'off', pcp: 'off' });
    await assert.rejects(call('findGateway'), { kind: 'unavailable' });
  });

  it('leaves its mappings to their lifetimes when it is closed, as the originals do, and then the process ends', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { createClient } from 'portlease/nat-upnp';
       const client = createClient(CONFIG);
       client.portMapping({ public: 9001, private: 9001, ttl: 600 }, (error) => {
         if (error) throw error;
         setTimeout(() => {
           console.log('mapped still');
           client.close();
           client.externalIp((error) => console.log(error.message));
         }, 100).unref();
       });`,
      { gateway },
    );
    assert.deepEqual(lines, ['mapped still', 'the client is closed']);
    assert.equal(gateway.mappings().length, 1);
    assert.ok(gateway.mappings()[0].expiresIn <= 600_000);
  });
});

describe('kad-traverse', () => {
  it('unchanged, with nat-upnp replaced, makes its node reachable', { timeout: 30_000 }, async (t) => {
    const gateway = await gatewayFor(t);
    const child = spawn(process.execPath, ['kad-traverse.cjs', '9001'], {
      cwd: new URL('consumers/', import.meta.url),
      env: { ...process.env, PORTLEASE_GATEWAY: environmentOf(gateway) },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    assert.deepEqual(JSON.parse((await lines.next()).value), { hostname: '192.0.1.1', port: 9002 });
    const [mapping] = gateway.mappings();
    assert.deepEqual([mapping.transport, mapping.externalPort, mapping.internal], ['tcp', 9002, '127.0.0.1:9001']);
    child.stdin.end();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });
});

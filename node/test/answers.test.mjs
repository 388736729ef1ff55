// What a mapper answers beside leases: the leases that it has, addresses, the router's table; and what it tells of itself.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { externalAddress, LOG_CHANNEL, PortLeaseError, probe } from 'portlease';
import { failed } from '../dist/errors.mjs';
import { environmentOf, gatewayFor, mapperFor, run, runWell } from './helpers.mjs';

describe('a mapper', { concurrency: 4 }, () => {
  it('answers a request that it has with the same lease, and lists its leases as long as they live', async (t) => {
    const { mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    assert.equal(mapper.ensure({ port: 9001 }), lease);
    const other = mapper.ensure({ port: 9002, transport: 'tcp' });
    assert.throws(() => mapper.ensure({ port: 9001, exact: true }), { kind: 'invalid' });
    assert.deepEqual(mapper.leases(), [lease, other]);
    await lease.stop();
    assert.deepEqual(mapper.leases(), [other]);
    assert.notEqual(mapper.ensure({ port: 9001 }), lease);
    await mapper.stop();
    assert.deepEqual(mapper.leases(), []);
  });

  it('maps both transports at once', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const both = mapper.mapBoth({ port: 9001 });
    await Promise.all(both.map((lease) => lease.ready()));
    assert.deepEqual(
      gateway.mappings().map(({ transport }) => transport),
      ['udp', 'tcp'],
    );
    assert.throws(() => mapper.mapBoth({ port: 9001 }), { kind: 'invalid' });
    assert.throws(() => mapper.mapBoth({}), { kind: 'invalid', message: /^port: / });
  });

  it('keeps the lifetime and the description of each request apart', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['upnp'], ttl: 600_000 });
    const [one, other] = [mapper.map({ port: 9001, ttl: 90_000, description: 'one' }), mapper.map({ port: 9002 })];
    const lifetimes = await Promise.all([one, other].map(async (lease) => (await lease.ready()).lifetime));
    assert.deepEqual(lifetimes, [90_000, 600_000]);
    assert.deepEqual(
      gateway.mappings().map(({ description }) => description),
      ['one', 'portlease'],
    );
    assert.throws(() => mapper.map({ port: 9003, ttl: 1 }), { kind: 'invalid', message: /^ttl: / });
  });

  it('tells the state of a lease without a snapshot', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { gateway: { faults: { pcp: 'silent' } }, protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    assert.deepEqual([lease.active, lease.external, lease.externalPort, lease.protocol], [false, null, null, null]);
    gateway.setFaults({ pcp: 'normal' });
    const ready = await lease.ready();
    for (const name of ['state', 'active', 'externalPort', 'protocol', 'addressClass']) {
      assert.equal(lease[name], ready[name], name);
    }
    assert.equal(`${lease.external}`, '192.0.1.1:9001');
  });

  it('tells the external address without a lease, and so does the module, which also probes', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { gateway: { pcp: false } });
    assert.equal(await mapper.externalAddress(), '192.0.1.1');
    assert.equal(await externalAddress({ ...gateway.config, timeout: 5000 }), '192.0.1.1');
    const { protocols } = await probe({ ...gateway.config, protocols: ['nat-pmp'] });
    assert.deepEqual([protocols.length, protocols[0].externalAddress], [1, '192.0.1.1']);
    gateway.setFaults({ natPmp: 'silent', upnp: 'silent' });
    const quiet = { ...gateway.config, protocols: ['nat-pmp'] };
    await assert.rejects(externalAddress({ ...quiet, timeout: 1 }), { kind: 'timeout' });
    await assert.rejects(externalAddress({ ...quiet, signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
    await assert.rejects(probe({ ...quiet, signal: AbortSignal.abort() }), { name: 'AbortError' });
    await assert.rejects(probe({ colour: 'red' }), { kind: 'invalid', message: /^colour: / });
    assert.deepEqual(gateway.mappings(), []);
  });

  it("shows the router's table, and deletes an entry, of another machine only if that is asked for", async (t) => {
    const { gateway, mapper } = await mapperFor(t, { gateway: { secureMode: false }, protocols: ['upnp'] });
    await mapper.map({ port: 9001 }).ready();
    gateway.addMapping({ transport: 'tcp', externalPort: 80, internal: '192.168.1.9:8080' });
    const table = await mapper.table();
    const [ours, other] = [9001, 80].map((port) => table.find(({ externalPort }) => externalPort === port));
    assert.deepEqual([ours.thisMachine, ours.description, ours.transport], [true, 'portlease', 'udp']);
    assert.deepEqual(other, {
      ...{ externalPort: 80, transport: 'tcp', internalClient: '192.168.1.9', internalPort: 8080 },
      ...{ description: other.description, enabled: true, lifetime: null, remoteHost: '', thisMachine: false },
    });
    const what = { transport: 'tcp', externalPort: 80 };
    await assert.rejects(mapper.delete(what), { kind: 'refused', message: /192\.168\.1\.9/ });
    await assert.rejects(mapper.delete({ externalPort: 9001 }), { kind: 'invalid', message: /^externalPort: / });
    await assert.rejects(mapper.delete({}), { kind: 'invalid', message: /^externalPort: / });
    await assert.rejects(mapper.delete({ ...what, transport: 'sctp' }), { kind: 'invalid', message: /^transport: / });
    assert.equal((await mapper.delete({ ...what, anyHost: true })).internalPort, 8080);
    assert.equal(await mapper.delete(what), null);
  });
});

describe('an error', () => {
  it('has what each protocol has answered, advice, and when to try again', () => {
    const detail = {
      protocol: 'pcp',
      kind: 'refused',
      code: 2,
      name: 'NOT_AUTHORIZED',
      retryAfter: 30_000,
      message: 'no',
    };
    const failure = { kind: 'refused', message: 'no', advice: 'do this', retryAfter: 30_000 };
    const error = failed({
      failed: { ...failure, details: [detail, { protocol: 'upnp', kind: 'timeout', message: 'x' }] },
    });
    assert.deepEqual(
      { ...error, message: error.message },
      {
        ...failure,
        code: 'ERR_PORTLEASE_REFUSED',
        details: [
          detail,
          { protocol: 'upnp', kind: 'timeout', code: null, name: null, retryAfter: null, message: 'x' },
        ],
      },
    );
    assert.ok(error instanceof PortLeaseError && Object.isFrozen(error.details) && Object.isFrozen(error.details[0]));
  });

  it('has them in what is thrown, in snapshots and in events alike', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    gateway.setFaults({ tableFull: true });
    const lease = mapper.map({ port: 9001 });
    const { kind, message, details, advice, retryAfter } = await lease.ready().then(assert.fail, (error) => error);
    const report = { kind, message, details, advice, retryAfter };
    assert.ok(retryAfter > 0 && advice.length > 0);
    assert.deepEqual(lease.snapshot().lastError, report);
    assert.deepEqual((await mapper.nextEvent()).error, report);
  });
});

describe('what portlease tells of itself', { concurrency: 2 }, () => {
  it('comes through a channel of diagnostics_channel as long as it is subscribed', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { subscribe, unsubscribe } from 'node:diagnostics_channel';
       import { LOG_CHANNEL, open } from 'portlease';
       await (await open(9000, CONFIG)).stop();
       const told = [];
       const listener = (record, name) => told.push([name, record]);
       subscribe(LOG_CHANNEL, listener);
       await (await open(9001, CONFIG)).stop();
       await new Promise(setImmediate);
       const count = told.length;
       unsubscribe(LOG_CHANNEL, listener);
       await (await open(9002, CONFIG)).stop();
       const [[name, record]] = told;
       console.log(told.length === count, name, Object.isFrozen(record), Object.keys(record).join());
       console.log(told.every(([, { level, target }]) => level && target.startsWith('portlease')), record.time > 1.6e12);`,
      { gateway },
    );
    assert.deepEqual(lines, [`true ${LOG_CHANNEL} true level,target,message,time,dropped`, 'true true']);
  });

  it('is written to standard error for NODE_DEBUG=portlease, up to the end of the process', async (t) => {
    const gateway = await gatewayFor(t);
    const { status, stderr } = await run(
      "import { open } from 'portlease'; await open(9001, CONFIG); console.log('mapped');",
      { gateway, env: { NODE_DEBUG: 'portlease' } },
    );
    assert.equal(status, 0);
    assert.match(stderr, /^PORTLEASE \d+: \d{4}-.*Z (debug|info) portlease/m);
  });
});

it('a program that names no gateway uses that of PORTLEASE_GATEWAY', async (t) => {
  const gateway = await gatewayFor(t);
  const env = { PORTLEASE_GATEWAY: environmentOf(gateway) };
  const code = "import { open } from 'portlease'; console.log(String((await open(9001)).external));";
  assert.deepEqual((await runWell(code, { env })).lines, ['192.0.1.1:9001']);
});

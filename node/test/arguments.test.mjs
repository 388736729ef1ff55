// What is wrong is thrown or rejected as `invalid`, and named as it is called here.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { externalAddress, Mapper, open, PortLeaseError, probe } from 'portlease';
import { Gateway } from 'portlease/testing';
import { gatewayFor, mapperFor, runWell } from './helpers.mjs';

describe('a bad argument', () => {
  const bad = (option) => (error) => {
    assert.ok(error instanceof PortLeaseError && error instanceof Error);
    assert.equal(error.code, 'ERR_PORTLEASE_INVALID');
    assert.equal(error.kind, 'invalid');
    assert.ok(error.message.startsWith(`${option}: `), error.message);
    return true;
  };

  for (const [option, options] of Object.entries({
    ttl: { ttl: 999 },
    renewalInterval: { renewalInterval: -1 },
    checkInterval: { checkInterval: 999 },
    stateDir: { stateDir: '' },
    failureThreshold: { failureThreshold: 0 },
    gateway: { gateway: 'router.local' },
    localAddress: { localAddress: 'fe80::1' },
    interface: { interface: '' },
    protocols: { protocols: ['pcp', 'ftp'] },
    retry: { retry: 'sometimes' },
    description: { description: 5 },
    pcpPort: { pcpPort: 65536 },
    ssdpAddress: { ssdpAddress: '127.0.0.1' },
    timeToLive: { timeToLive: 5 },
    options: null,
  })) {
    it(`of Mapper.start is thrown and named: ${JSON.stringify(options)}`, () => {
      assert.throws(() => Mapper.start(options), bad(option));
    });
  }

  it('within retry is thrown and named', () => {
    assert.throws(() => Mapper.start({ retry: { min: '1' } }), bad('retry'));
    assert.throws(() => Mapper.start({ retry: { min: 2, max: 1 } }), bad('retry'));
    assert.throws(() => Mapper.start({ retry: { least: 1 } }), bad('least'));
  });

  it('of map is thrown and named', async (t) => {
    const { mapper } = await mapperFor(t);
    for (const [option, options] of [
      ['port', {}],
      ['port', { port: 0 }],
      ['port', { port: 65536 }],
      ['port', { port: '9001' }],
      ['externalPort', { port: 9001, externalPort: 1.5 }],
      ['transport', { port: 9001, transport: 'sctp' }],
      ['exact', { port: 9001, exact: 1 }],
      ['family', { port: 9001, family: 'ipx' }],
      ['prot', { port: 9001, prot: 'udp' }],
    ]) {
      assert.throws(() => mapper.map(options), bad(option));
    }
    assert.deepEqual(mapper.snapshot().leases, []);
  });

  it('of map is named as it is called here, also if another lease is in the way', async (t) => {
    const { mapper } = await mapperFor(t);
    mapper.map({ port: 9001, externalPort: 9009 });
    assert.throws(() => mapper.map({ port: 9001 }), bad('port'));
    assert.throws(() => mapper.map({ port: 9002, externalPort: 9009 }), bad('externalPort'));
  });

  it('is named whatever it is, also where it cannot be made a text', async (t) => {
    const { mapper } = await mapperFor(t);
    const bare = Object.create(null);
    const throws = {
      toString() {
        throw new Error('a text of mine?');
      },
    };
    for (const value of [bare, throws, Symbol('port'), 9001n, [9001], null, () => 9001]) {
      assert.throws(() => mapper.map({ port: value }), bad('port'));
      assert.throws(() => Mapper.start({ ttl: value }), bad('ttl'));
    }
    assert.throws(() => mapper.map({ port: 9001n }), { message: 'port: must be between 1 and 65535, not 9001n' });
  });

  it('of a call with a promise rejects and is named', async (t) => {
    const { mapper } = await mapperFor(t);
    const lease = mapper.map({ port: 9001 });
    await assert.rejects(lease.ready({ timeout: -1 }), bad('timeout'));
    await assert.rejects(lease.ready({ timeout: Number.NaN }), bad('timeout'));
    await assert.rejects(lease.ready({ timout: 1 }), bad('timout'));
    await assert.rejects(lease.ready({ signal: {} }), bad('signal'));
    await assert.rejects(lease.changed({ since: -1 }), bad('since'));
    await assert.rejects(lease.changed({ since: {} }), bad('since'));
    await assert.rejects(lease.changed({ since: null }), bad('since'));
    await assert.rejects(lease.changed({ timeout: '1' }), bad('timeout'));
    await assert.rejects(mapper.nextEvent({ timeout: '1' }), bad('timeout'));
    await assert.rejects(mapper.nextEvent({ timeout: -1 }), bad('timeout'));
    await assert.rejects(mapper.probe({ timeout: 1 }), bad('timeout'));
    await assert.rejects(open('9001'), bad('port'));
    await assert.rejects(open(9001, { ttl: 1 }), bad('ttl'));
    await assert.rejects(open(9001, null), bad('options'));
    await assert.rejects(open(9001, 'udp'), bad('options'));
  });

  it('that is something else than an object of options is named in every call', async (t) => {
    const { gateway, mapper } = await mapperFor(t);
    const lease = mapper.map({ port: 9001 });
    const calls = {
      'Mapper.start': (options) => Mapper.start(options),
      map: (options) => mapper.map(options),
      ensure: (options) => mapper.ensure(options),
      mapBoth: (options) => mapper.mapBoth(options),
      events: (options) => mapper.events(options),
      delete: (options) => mapper.delete(options),
      table: (options) => mapper.table(options),
      'mapper.probe': (options) => mapper.probe(options),
      'mapper.externalAddress': (options) => mapper.externalAddress(options),
      ready: (options) => lease.ready(options),
      detach: (options) => lease.detach(options),
      probe: (options) => probe(options),
      externalAddress: (options) => externalAddress(options),
      open: (options) => open(9001, options),
      'Gateway.start': (options) => Gateway.start(options),
      waitFor: (options) => gateway.waitFor(() => true, options),
    };
    for (const [name, call] of Object.entries(calls)) {
      for (const value of [null, 5, true, 'pcp', [], () => {}]) {
        await assert.rejects(async () => call(value), bad('options'), `${name}(${inspect(value)})`);
      }
    }
    // Where there is nothing to abort.
    for (const name of ['Mapper.start', 'map', 'ensure', 'mapBoth', 'delete', 'Gateway.start']) {
      await assert.rejects(async () => calls[name](AbortSignal.abort()), bad('options'), name);
    }
  });

  it('of probe and externalAddress is named, with all that there are', async () => {
    await assert.rejects(
      probe({ timeout: 1 }),
      (error) => bad('timeout')(error) && / ttl, .*signal/.test(error.message),
    );
    await assert.rejects(externalAddress({ timeout: -1 }), bad('timeout'));
    await assert.rejects(externalAddress({ signal: 'x' }), bad('signal'));
  });

  it('is never taken from what somebody has added to the prototype of all objects', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { Mapper } from 'portlease';
       const mapper = Mapper.start(CONFIG);
       Object.assign(Object.prototype, { externalPort: 4444, exact: 1, ttl: 'x', timeout: 0, retry: 'x', max: 1 });
       const { externalPort } = await mapper.map({ port: 9001 }).ready();
       console.log(externalPort);
       await mapper.stop();
       await Mapper.start({ ...CONFIG, retry: { min: 1000 } }).stop();`,
      { gateway },
    );
    assert.deepEqual(lines, ['9001']);
  });
});

// Mappers and leases as a JavaScript program uses them.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ErrorKind, Lease, Mapper, open, PortLeaseError, Release } from 'portlease';
import { gatewayFor, mapperFor } from './helpers.mjs';

describe('a lease', () => {
  it('is ready with a snapshot that is frozen and tells its form by `active`', async (t) => {
    const { mapper } = await mapperFor(t, { gateway: { faults: { pcpDelayMs: 50 } }, protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    assert.ok(lease instanceof Lease);
    assert.equal(lease.snapshot().active, false);
    assert.equal(lease.snapshot().external, null);
    const snapshot = await lease.ready({ timeout: 5000 });
    assert.equal(snapshot.active, true);
    assert.equal(snapshot.state, 'installed');
    assert.equal(snapshot.lifetime, 3_600_000);
    assert.ok(Object.isFrozen(snapshot) && Object.isFrozen(snapshot.external));
    assert.equal(Object.getPrototypeOf(snapshot), Object.prototype);
    assert.deepEqual({ ...snapshot.external }, { address: '192.0.1.1', port: 9001 });
    assert.equal(`${snapshot.external}`, '192.0.1.1:9001');
    assert.equal(JSON.parse(JSON.stringify(snapshot)).external, '192.0.1.1:9001');
  });

  it('shows the same external endpoint as long as it does not change, and another one when it does', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { ttl: 2000 });
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    const before = lease.snapshot().external;
    assert.equal(lease.snapshot().external, before);
    gateway.setExternalAddress('192.0.1.2');
    while ((await mapper.nextEvent({ timeout: 5000 })).kind !== 'changed');
    assert.notEqual(lease.snapshot().external, before);
    assert.equal(`${lease.snapshot().external}`, '192.0.1.2:9001');
  });

  it('shows why it has failed', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { gateway: { faults: { tableFull: true } }, protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    const failure = { name: 'PortLeaseError', kind: 'refused', code: 'ERR_PORTLEASE_REFUSED', message: /NO_RESOURCES/ };
    await assert.rejects(lease.ready(), failure);
    const { lastError } = lease.snapshot();
    assert.equal(lastError.kind, 'refused');
    assert.ok(Object.isFrozen(lastError));
    assert.match(lastError.message, /NO_RESOURCES/);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('is made again by repair, and only once in 10 s', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    const before = await lease.ready();
    const after = await lease.repair({ timeout: 5000 });
    assert.equal(after.active, true);
    assert.equal(`${after.external}`, `${before.external}`);
    assert.ok(after.revision > before.revision && Object.isFrozen(after));
    assert.ok(gateway.counters().pcpMap >= 2);
    await assert.rejects(lease.repair(), { code: 'ERR_PORTLEASE_REFUSED', message: / s at the earliest/ });
    await lease.stop();
    await assert.rejects(lease.repair(), { kind: 'stopped' });
  });

  it('is released by stop, which may be called again', async (t) => {
    const { gateway, mapper } = await mapperFor(t);
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    assert.equal(gateway.mappings().length, 1);
    assert.equal(await lease.stop(), 'released');
    assert.deepEqual(gateway.mappings(), []);
    assert.equal(await lease.stop(), 'released');
    assert.equal(lease.snapshot().state, 'exited');
    await assert.rejects(lease.ready(), { kind: 'stopped' });
  });

  it('is `unconfirmed` in the end if the gateway has gone silent, and disposing of it says nothing', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    gateway.setFaults({ pcp: 'silent' });
    assert.equal(await lease.stop(), Release.UNCONFIRMED);
    assert.equal(await lease[Symbol.asyncDispose](), undefined);
    assert.equal(await mapper.stop(), Release.UNCONFIRMED);
  });

  it('has an external port also if the gateway does not know its address', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['upnp'] });
    gateway.setFaults({ emptyExternalAddress: true });
    const lease = mapper.map({ port: 9001 });
    const { active, external, externalPort, natClass } = await lease.ready();
    assert.deepEqual(
      { active, external, externalPort, natClass },
      { active: true, external: null, externalPort: 9001, natClass: 'unknown' },
    );
    assert.deepEqual([lease.snapshot().external, lease.snapshot().externalPort], [null, 9001]);
    const event = await mapper.nextEvent();
    assert.deepEqual([event.kind, event.external, event.externalPort], ['installed', null, 9001]);
  });

  it('stops within the time-out, also where the gateway has gone silent', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    gateway.setFaults({ pcp: 'silent' });
    assert.equal(await lease.stop({ timeout: 50 }), Release.PENDING);
  });

  it('is left on the gateway by detach', async (t) => {
    const { gateway, mapper } = await mapperFor(t);
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    assert.equal(await lease.detach(), 'released');
    assert.equal(gateway.mappings().length, 1);
    assert.equal(lease.snapshot().state, 'exited');
  });

  it('is stopped by `await using`, and so is a mapper', async (t) => {
    const { gateway, mapper } = await mapperFor(t);
    const [one, other] = [mapper.map({ port: 9001 }), mapper.map({ port: 9002 })];
    await Promise.all([one.ready(), other.ready()]);
    await one[Symbol.asyncDispose]();
    assert.deepEqual(
      [one, other].map((lease) => lease.snapshot().state),
      ['exited', 'installed'],
    );
    await mapper[Symbol.asyncDispose]();
    assert.equal(mapper.snapshot().stopped, true);
    assert.deepEqual(gateway.mappings(), []);
  });
});

describe('a failed attempt', () => {
  const REFUSING = { gateway: { faults: { tableFull: true, pcpDelayMs: 100 } }, protocols: ['pcp'] };

  it('is heard by every call of ready that is pending', async (t) => {
    const { mapper } = await mapperFor(t, REFUSING);
    const lease = mapper.map({ port: 9001 });
    const outcomes = await Promise.allSettled([lease.ready(), lease.ready(), lease.ready({ timeout: 10_000 })]);
    assert.deepEqual(
      outcomes.map(({ reason }) => reason?.kind),
      ['refused', 'refused', 'refused'],
    );
  });

  it('is heard by all calls that are made together, also if it was before them', async (t) => {
    const { mapper } = await mapperFor(t, { ...REFUSING, retry: { min: 60_000, max: 60_000 } });
    const lease = mapper.map({ port: 9001 });
    assert.equal((await mapper.nextEvent()).kind, 'failed');
    const together = [lease.ready({ timeout: 5000 }), lease.ready({ timeout: 5000 })];
    const kinds = (await Promise.allSettled(together)).map(({ reason }) => reason?.kind);
    assert.deepEqual(kinds, ['refused', 'refused']);
  });

  it('is not heard by a call that comes later, which waits for the next attempt', async (t) => {
    const { mapper } = await mapperFor(t, { ...REFUSING, retry: { min: 60_000, max: 60_000 } });
    const lease = mapper.map({ port: 9001 });
    await assert.rejects(lease.ready(), { kind: 'refused' });
    const later = [lease.ready({ timeout: 20 }), lease.ready({ timeout: 20 })];
    const kinds = (await Promise.allSettled(later)).map(({ reason }) => reason?.kind);
    assert.deepEqual(kinds, ['timeout', 'timeout']);
  });
});

describe('a wait for a change', () => {
  const SLOW = { gateway: { faults: { pcpDelayMs: 200 } }, protocols: ['pcp'] };

  it('answers with each state after the one that is given, and ends when the lease is over', async (t) => {
    const { mapper } = await mapperFor(t, SLOW);
    const lease = mapper.map({ port: 9001 });
    const seen = [lease.snapshot()];
    const error = await (async () => {
      for (;;) {
        seen.push(await lease.changed({ since: seen.at(-1) }));
        if (seen.at(-1).active) lease.stop();
      }
    })().catch((error) => error);
    assert.equal(error.kind, 'stopped');
    assert.match(error.stack, /handles\.test\.mjs/);
    assert.ok(seen.some(({ state, external }) => state === 'installed' && `${external}` === '192.0.1.1:9001'));
    assert.equal(seen.at(-1).state, 'exited');
    const revisions = seen.map(({ revision }) => revision);
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].toSorted((one, other) => one - other),
    );
  });

  it('begins with the state at the call if no other is given', async (t) => {
    const { mapper } = await mapperFor(t, SLOW);
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    await assert.rejects(lease.changed({ timeout: 20 }), { kind: 'timeout' });
    const changed = lease.changed();
    lease.stop();
    assert.ok((await changed).revision > 0);
  });

  it('is over at once if the state is another already, given as a snapshot or by its revision', async (t) => {
    const { mapper } = await mapperFor(t, SLOW);
    const lease = mapper.map({ port: 9001 });
    const before = lease.snapshot();
    const now = await lease.ready();
    assert.ok(now.revision > before.revision);
    for (const since of [before, before.revision]) {
      const snapshot = await lease.changed({ since });
      assert.deepEqual([snapshot.revision, snapshot.active], [now.revision, true]);
      assert.ok(Object.isFrozen(snapshot));
    }
  });

  it('may be several, which all see the same change', async (t) => {
    const { mapper } = await mapperFor(t, SLOW);
    const lease = mapper.map({ port: 9001 });
    const since = await lease.ready();
    const waits = [1, 2, 3].map(() => lease.changed({ since }));
    await lease.stop();
    for (const { revision } of await Promise.all(waits)) assert.ok(revision > since.revision);
  });
});

describe('many leases', () => {
  it('are mapped without looking at all the others each time', async (t) => {
    const { mapper } = await mapperFor(t);
    const looks = t.mock.method(Lease.prototype, 'snapshot');
    const COUNT = 300;
    for (let i = 0; i < COUNT; i++) mapper.map({ port: 9001 + i });
    assert.ok(looks.mock.callCount() < 3 * COUNT, `${looks.mock.callCount()}`);
  });
});

describe('open', () => {
  it('maps a port and stops its mapper with it', async (t) => {
    const gateway = await gatewayFor(t);
    const port = await open(9001, { ...gateway.config, transport: 'tcp', externalPort: 80 });
    assert.ok(port instanceof Lease);
    assert.equal(`${port.snapshot().external}`, '192.0.1.1:80');
    assert.equal(await port.stop(), 'released');
    assert.equal(port.mapper.snapshot().stopped, true);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('takes every option of the mapper, of the lease and of the wait', async (t) => {
    const gateway = await gatewayFor(t, { faults: { pcpDelayMs: 300 } });
    const options = {
      ...gateway.config,
      localAddress: '127.0.0.1',
      protocols: ['pcp'],
      ttl: 600_000,
      renewalInterval: 60_000,
      failureThreshold: 2,
      retry: 'never',
      description: 'a game',
      transport: 'tcp',
      externalPort: 9999,
      exact: true,
      family: 'ipv4',
    };
    const others = { ...options, externalPort: 9998 };
    await assert.rejects(open(9002, { ...others, timeout: 1 }), { kind: 'timeout' });
    await assert.rejects(open(9002, { ...others, signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
    const port = await open(9001, { ...options, timeout: 10_000, signal: new AbortController().signal });
    const { lifetime, external, transport, protocol } = port.snapshot();
    assert.deepEqual([lifetime, `${external}`, transport, protocol], [600_000, '192.0.1.1:9999', 'tcp', 'pcp']);
    await port.stop();
    await gateway.waitFor(({ mappings }) => mappings.length === 0);
  });

  it('says which option is wrong, as it is called here', async (t) => {
    const { config } = await gatewayFor(t);
    const wrong = { externalPort: 0, exact: 1, transport: 'sctp', family: 'ipx', ttl: 1, timeout: -1, port: 9001 };
    for (const [option, value] of Object.entries(wrong)) {
      await assert.rejects(open(9001, { ...config, [option]: value }), (error) => {
        return error.kind === 'invalid' && error.message.startsWith(`${option}: `);
      });
    }
    await assert.rejects(open(0, config), { kind: 'invalid', message: /^port: / });
  });

  it('leaves the mapping by detach, and ends its mapper', async (t) => {
    const gateway = await gatewayFor(t);
    const port = await open(9001, gateway.config);
    assert.equal(await port.detach(), 'released');
    assert.equal(port.snapshot().state, 'exited');
    assert.equal(port.mapper.snapshot().stopped, true);
    assert.throws(() => port.mapper.map({ port: 9002 }), { kind: 'stopped' });
    assert.equal(gateway.mappings().length, 1);
  });

  it('leaves the mapping also by a detach whose signal is aborted', async (t) => {
    const gateway = await gatewayFor(t);
    const port = await open(9001, gateway.config);
    await assert.rejects(port.detach({ signal: AbortSignal.abort() }), { name: 'AbortError' });
    await port.mapper.stop();
    assert.equal(port.snapshot().state, 'exited');
    assert.equal(gateway.mappings().length, 1);
  });

  it('leaves nothing behind where it fails', async (t) => {
    const gateway = await gatewayFor(t, { faults: { pcp: 'off', natPmp: 'off', upnp: 'off' } });
    await assert.rejects(open(9001, gateway.config), { kind: 'unavailable' });
    await assert.rejects(open(9001, { ...gateway.config, signal: AbortSignal.abort() }), { name: 'AbortError' });
    assert.deepEqual(gateway.mappings(), []);
  });
});

describe('a mapper', () => {
  it('shows its gateway and its leases in a frozen snapshot', async (t) => {
    const { mapper } = await mapperFor(t);
    await mapper.map({ port: 9001 }).ready();
    const snapshot = mapper.snapshot();
    assert.ok(Object.isFrozen(snapshot) && Object.isFrozen(snapshot.leases) && Object.isFrozen(snapshot.leases[0]));
    assert.equal(snapshot.gateway, '127.0.0.1');
    assert.equal(snapshot.active, 1);
    assert.equal(`${snapshot.leases[0].external}`, '192.0.1.1:9001');
  });

  it('asks what the gateway offers', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { gateway: { natPmp: false } });
    const { protocols } = await mapper.probe();
    assert.deepEqual(
      protocols.map(({ protocol }) => protocol),
      ['pcp', 'nat-pmp', 'upnp'],
    );
    assert.equal(protocols[0].error, null);
    assert.ok(protocols[0].roundTrip > 0 && protocols[0].roundTrip < 2000);
    assert.equal(protocols[1].roundTrip, null);
    assert.ok(Object.values(ErrorKind).includes(protocols[1].error.kind));
    assert.equal(protocols[2].device, 'portlease simulated gateway');
    assert.deepEqual(gateway.mappings(), []);
  });

  it('answers `stopped` once it is stopped', async (t) => {
    const { mapper } = await mapperFor(t);
    assert.equal(await mapper.stop(), 'released');
    assert.equal(await mapper.stop(), 'released');
    assert.throws(() => mapper.map({ port: 9001 }), { kind: 'stopped', code: 'ERR_PORTLEASE_STOPPED' });
    await assert.rejects(mapper.probe(), { kind: 'stopped' });
    await assert.rejects(mapper.nextEvent(), { kind: 'stopped' });
    assert.equal(mapper.networkChanged(), undefined);
  });

  it('looks again when it is told that the network changed', async (t) => {
    const { mapper } = await mapperFor(t);
    await mapper.map({ port: 9001 }).ready();
    mapper.networkChanged();
    const kinds = [await mapper.nextEvent(), await mapper.nextEvent()].map(({ kind }) => kind);
    assert.deepEqual(kinds, ['installed', 'renewed']);
    assert.equal(mapper.snapshot().lastError, null);
  });
});

describe('an error', () => {
  it('leads by its stack to who made the call', async (t) => {
    const { mapper } = await mapperFor(t, { gateway: { faults: { pcp: 'silent' } }, protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    const waits = {
      ready: () => lease.ready({ timeout: 1 }),
      changed: () => lease.changed({ timeout: 1 }),
      nextEvent: () => mapper.nextEvent({ timeout: 1 }),
      stopped: async () => {
        const waiting = mapper.nextEvent();
        await mapper.stop({ timeout: 0 });
        for (await waiting; ; ) await mapper.nextEvent(); // until the last event was taken
      },
    };
    for (const [name, wait] of Object.entries(waits)) {
      const error = await wait().then(assert.fail, (error) => error);
      assert.ok(error instanceof PortLeaseError, name);
      assert.match(error.stack, /handles\.test\.mjs/, name);
    }
  });

  it('has the system error as its cause', async (t) => {
    // A broadcast address: the system lets nobody send there, and without a network there is no way to it.
    const mapper = Mapper.start({ gateway: '255.255.255.255', protocols: ['pcp'], retry: 'never' });
    t.after(() => mapper.stop());
    const error = await mapper
      .map({ port: 9001 })
      .ready()
      .then(assert.fail, (error) => error);
    assert.equal(error.code, 'ERR_PORTLEASE_TRANSPORT');
    assert.ok(error.cause instanceof Error);
    // EACCES and ENETUNREACH of Linux, macOS and Windows, which says it in the language of its user.
    const [denied, unreachable] = ['Permission denied', 'Network is unreachable'];
    const said = { 13: denied, 51: unreachable, 101: unreachable, 10013: '', 10051: '' }[-error.cause.errno];
    assert.ok(said !== undefined, error.cause);
    assert.match(error.message, new RegExp(`255\\.255\\.255\\.255.*: ${said}`));
    assert.match(error.stack, /PortLeaseError/);
  });

  it('tells by its code what happened', async (t) => {
    const { mapper } = await mapperFor(t, { gateway: { faults: { pcp: 'silent' } }, protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    await assert.rejects(lease.ready({ timeout: 20 }), { kind: 'timeout', code: 'ERR_PORTLEASE_TIMEOUT' });
    await assert.rejects(mapper.nextEvent({ timeout: 0 }), { kind: 'timeout', code: 'ERR_PORTLEASE_TIMEOUT' });
  });
});

// Every wait takes an AbortSignal: it rejects with the signal's reason at once, and leaves nothing behind.

import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { describe, it } from 'node:test';
import { externalAddress, open, probe } from 'portlease';
import { gatewayFor, mapperFor } from './helpers.mjs';

const SILENT = { gateway: { faults: { pcp: 'silent' } }, protocols: ['pcp'] };

const WAITS = {
  'lease.ready': (_, lease, options) => lease.ready(options),
  'lease.changed': (_, lease, options) => lease.changed({ since: lease.snapshot(), ...options }),
  'lease.repair': (_, lease, options) => lease.repair(options),
  'lease.stop': (_, lease, options) => lease.stop(options),
  'lease.detach': (_, lease, options) => lease.detach(options),
  'mapper.probe': (mapper, _, options) => mapper.probe(options),
  'mapper.externalAddress': (mapper, _, options) => mapper.externalAddress(options),
  'mapper.table': (mapper, _, options) => mapper.table(options),
  'mapper.delete': (mapper, _, options) => mapper.delete({ externalPort: 80, ...options }),
  'mapper.stop': (mapper, _, options) => mapper.stop(options),
  'mapper.nextEvent': (mapper, _, options) => mapper.nextEvent(options),
  'mapper.events': (mapper, _, options) => mapper.events(options).next(),
};

describe('every wait', { concurrency: 4 }, () => {
  for (const [name, wait] of Object.entries(WAITS)) {
    it(`${name} ends at once with the reason`, async (t) => {
      const { gateway, mapper } = await mapperFor(t, SILENT);
      const lease = mapper.map({ port: 9001 });
      // Only the release of a lease that has asked for something waits for the gateway.
      await gateway.waitFor(({ counters }) => counters.pcpMap > 0);
      const controller = new AbortController();
      const waiting = wait(mapper, lease, { signal: controller.signal });
      const reason = new Error('enough');
      let turned = false;
      setImmediate(() => {
        turned = true;
      });
      controller.abort(reason);
      await assert.rejects(waiting, (error) => error === reason);
      assert.ok(!turned, 'in the same turn of the event loop');
      assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
    });

    it(`${name} is over before it begins where the signal is aborted already`, async (t) => {
      const { mapper } = await mapperFor(t, SILENT);
      const lease = mapper.map({ port: 9001 });
      await assert.rejects(wait(mapper, lease, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    });
  }
});

it('a function of the module takes a signal too, in its options or in their place', async (t) => {
  const gateway = await gatewayFor(t, SILENT.gateway);
  const config = { ...gateway.config, protocols: ['pcp'] };
  const calls = [probe, externalAddress, (options) => open(9001, options)];
  for (const call of calls) {
    await assert.rejects(call({ ...config, signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' }, `${call}`);
    await assert.rejects(call(AbortSignal.abort()), { name: 'AbortError' }, `${call}`);
  }
});

it('a signal may be of a polyfill that knows no reasons', async (t) => {
  const { mapper } = await mapperFor(t, SILENT);
  const lease = mapper.map({ port: 9001 });
  const signal = Object.assign(new EventTarget(), { aborted: false });
  const waiting = lease.ready({ signal });
  signal.aborted = true;
  signal.dispatchEvent(new Event('abort'));
  await assert.rejects(waiting, { name: 'AbortError' });
  await assert.rejects(lease.ready({ signal }), { name: 'AbortError' });
  await assert.rejects(open(9002, { signal }), { name: 'AbortError' });
  await assert.rejects(mapper.events({ signal }).next(), { name: 'AbortError' });
});

it('aborting a wait leaves the lease as it is', async (t) => {
  const { gateway, mapper } = await mapperFor(t, { gateway: { faults: { pcpDelayMs: 100 } }, protocols: ['pcp'] });
  const lease = mapper.map({ port: 9001 });
  await assert.rejects(lease.ready({ signal: AbortSignal.timeout(10) }), { name: 'TimeoutError' });
  assert.equal((await lease.ready()).active, true);
  assert.equal(gateway.mappings().length, 1);
});

it('aborting the wait for a repair leaves the repair to go on', async (t) => {
  const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  gateway.setFaults({ pcpDelayMs: 100 });
  await assert.rejects(lease.repair({ signal: AbortSignal.timeout(10) }), { name: 'TimeoutError' });
  const { external } = await once(mapper, 'repaired').then(([event]) => event);
  assert.equal(`${external}`, '192.0.1.1:9001');
});

it('a stop whose signal is aborted releases all the same', async (t) => {
  const { gateway, mapper } = await mapperFor(t);
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  await assert.rejects(lease.stop({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  await gateway.waitFor(({ mappings }) => mappings.length === 0);
});

it('a wait that has ended no longer listens to its signal', async (t) => {
  const { mapper } = await mapperFor(t);
  const { signal } = new AbortController();
  const lease = mapper.map({ port: 9001 });
  await lease.ready({ signal });
  await lease.repair({ signal });
  await mapper.nextEvent({ signal });
  await mapper.probe({ signal });
  await lease.stop({ signal });
  for await (const _ of mapper.events({ signal })) break;
  await mapper.stop({ signal });
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

it('a signal that is aborted between two turns ends the loop with its reason', async (t) => {
  const { mapper } = await mapperFor(t);
  mapper.map({ port: 9001 });
  const controller = new AbortController();
  const kinds = [];
  const loop = async () => {
    for await (const { kind } of mapper.events({ signal: controller.signal })) {
      kinds.push(kind);
      controller.abort();
    }
  };
  await assert.rejects(loop(), { name: 'AbortError' });
  assert.deepEqual(kinds, ['installed']);
  assert.deepEqual(getEventListeners(controller.signal, 'abort'), []);
});

it('many waits with one signal have one listener, so that Node sees no leak', async (t) => {
  const { mapper } = await mapperFor(t, SILENT);
  const controller = new AbortController();
  const { signal } = controller;
  const lease = mapper.map({ port: 9001 });
  const waits = Array.from({ length: 20 }, () => lease.ready({ signal }));
  waits.push(mapper.nextEvent({ signal }), mapper.events({ signal }).next(), mapper.probe({ signal }));
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  await assert.rejects(lease.ready({ signal, timeout: 1 }), { kind: 'timeout' });
  controller.abort(new Error('enough'));
  for (const outcome of await Promise.allSettled(waits)) assert.equal(outcome.reason?.message, 'enough');
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});

it('an event that a loop had not read when its signal was aborted is there for the next', async (t) => {
  const { mapper } = await mapperFor(t);
  const controller = new AbortController();
  const events = mapper.events({ signal: controller.signal });
  await Promise.all([9001, 9002].map((port) => mapper.map({ port }).ready()));
  const { value: first } = await events.next();
  controller.abort();
  await assert.rejects(events.next(), { name: 'AbortError' });
  const { lease } = await mapper.nextEvent();
  assert.deepEqual([first.lease, lease].toSorted(), [1, 2]);
});

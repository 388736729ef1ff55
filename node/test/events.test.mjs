// Events: pulled one by one, in a loop, or by listeners; each of these readers sees each event.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { EventKind } from 'portlease';
import { gatewayFor, mapperFor, runWell } from './helpers.mjs';

it('events wait until somebody takes them', async (t) => {
  const { mapper } = await mapperFor(t);
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  await lease.stop();
  const installed = await mapper.nextEvent();
  assert.equal(installed.kind, 'installed');
  assert.equal(installed.lease, lease.id);
  assert.equal(installed.dropped, 0);
  assert.ok(installed.elapsed > 0);
  assert.ok(Object.isFrozen(installed));
  assert.equal((await mapper.nextEvent()).kind, 'exited');
});

it('a loop over events ends when the mapper is stopped, after the last event', async (t) => {
  const { mapper } = await mapperFor(t);
  const lease = mapper.map({ port: 9001 });
  const kinds = [];
  const loop = (async () => {
    for await (const { kind } of mapper.events()) kinds.push(kind);
  })();
  await lease.ready();
  await mapper.stop();
  await loop;
  assert.deepEqual(kinds, ['installed', 'exited']);
});

it('a loop that is left takes no more events', async (t) => {
  const { mapper } = await mapperFor(t);
  const one = mapper.map({ port: 9001 });
  for await (const { kind } of mapper.events()) {
    assert.equal(kind, 'installed');
    break;
  }
  await one.stop();
  assert.equal((await mapper.nextEvent()).kind, 'exited');
});

it('an iterator that is returned while it waits is done', async (t) => {
  const { mapper } = await mapperFor(t);
  const events = mapper.events();
  const waiting = events.next();
  assert.deepEqual(await events.return(), { done: true, value: undefined });
  assert.deepEqual(await waiting, { done: true, value: undefined });
  assert.deepEqual(await events.next(), { done: true, value: undefined });
});

it('two loops, a listener and a pull all see the same event', async (t) => {
  const { mapper } = await mapperFor(t);
  const first = async () => {
    for await (const event of mapper.events()) return event;
  };
  const all = [first(), first(), once(mapper, 'installed').then(([event]) => event), mapper.nextEvent()];
  mapper.map({ port: 9001 });
  const events = await Promise.all(all);
  for (const event of events) assert.deepEqual(event, events[0]);
});

it('a slow loop beside a listener loses the oldest events, and is told how many', async (t) => {
  const { mapper } = await mapperFor(t);
  let heard = 0;
  mapper.on('installed', () => heard++);
  mapper.on('exited', () => heard++);
  const events = mapper.events();
  const first = events.next();
  const COUNT = 530;
  for (let i = 0; i < COUNT; i++) {
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    await lease.stop();
  }
  assert.equal((await first).value.kind, 'installed');
  while (heard < 2 * COUNT) await once(mapper, 'exited');
  assert.equal((await events.next()).value.dropped, 2 * COUNT - 1 - 1024);
  assert.equal((await events.next()).value.dropped, 0);
  await events.return();
});

it('a mapper emits each kind of event to its listeners, with its fields', async (t) => {
  const { gateway, mapper } = await mapperFor(t, { ttl: 2000, protocols: ['pcp'], retry: { min: 10, max: 10 } });
  const seen = new Map();
  for (const kind of Object.values(EventKind)) mapper.on(kind, (event) => seen.set(kind, event));
  mapper.on('error', assert.fail);
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  await once(mapper, 'renewed');
  await lease.repair();
  if (!seen.has('repaired')) await once(mapper, 'repaired');
  gateway.setExternalAddress('192.0.1.9');
  await once(mapper, 'changed');
  gateway.setFaults({ pcp: { refuse: 2 }, errorLifetime: 1000 });
  await once(mapper, 'failed');
  await once(mapper, 'revoked');
  gateway.setFaults({ pcp: 'normal' });
  await once(mapper, 'installed');
  await lease.stop();
  if (!seen.has('exited')) await once(mapper, 'exited');
  const kinds = ['changed', 'exited', 'failed', 'installed', 'renewed', 'repaired', 'revoked'];
  assert.deepEqual([...seen.keys()].sort(), kinds);
  assert.equal(`${seen.get('repaired').external}`, '192.0.1.1:9001');
  assert.equal(`${seen.get('changed').external}`, '192.0.1.9:9001');
  assert.equal(seen.get('failed').error.kind, 'refused');
  assert.equal(seen.get('revoked').external, null);
});

it('a failure without a listener harms nobody: no `error` is ever emitted', async (t) => {
  const gateway = await gatewayFor(t, { faults: { tableFull: true } });
  const { lines } = await runWell(
    `import { Mapper } from 'portlease';
     const mapper = Mapper.start(CONFIG);
     mapper.on('installed', () => {});
     const lease = mapper.map({ port: 9001 });
     await lease.ready().catch((error) => console.log(error.kind));
     await mapper.stop();`,
    { gateway },
  );
  assert.deepEqual(lines, ['refused']);
});

it('what a listener throws is an uncaught exception, and the others hear the event all the same', async (t) => {
  const gateway = await gatewayFor(t);
  const { lines } = await runWell(
    `import { Mapper } from 'portlease';
     process.on('uncaughtException', (error) => console.log('uncaught', error.message));
     const mapper = Mapper.start(CONFIG);
     mapper.on('installed', () => { throw new Error('oops'); });
     const loop = (async () => { for await (const event of mapper.events()) console.log(event.kind); })();
     await mapper.map({ port: 9001 }).ready();
     await mapper.stop();
     await loop;`,
    { gateway },
  );
  assert.deepEqual(lines.toSorted(), ['exited', 'installed', 'uncaught oops']);
});

it('listeners may come and go in every way that an emitter has', async (t) => {
  const { mapper } = await mapperFor(t);
  let heard = 0;
  const listener = () => heard++;
  const add = ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'];
  for (const name of add) assert.equal(mapper[name]('installed', listener), mapper);
  await mapper.map({ port: 9001 }).ready();
  await mapper.map({ port: 9002 }).ready();
  const third = mapper.map({ port: 9003 });
  await third.ready();
  while (heard < 5 + 3 + 3) await once(mapper, 'installed');
  mapper.off('installed', listener).removeListener('installed', listener).removeAllListeners();
  await third.stop();
  // With the last listener gone the events wait here again.
  assert.equal((await mapper.nextEvent()).kind, 'exited');
});

it('what a loop had not read when it was left is there for the next, in order', async (t) => {
  const { mapper } = await mapperFor(t);
  const ports = [9001, 9002, 9003, 9004, 9005];
  await Promise.all(ports.map((port) => mapper.map({ port }).ready()));
  const seen = [];
  for (let count = 1; count <= 2; count++) {
    const end = seen.length + count;
    for await (const { lease } of mapper.events()) {
      seen.push(lease);
      if (seen.length === end) break;
    }
  }
  seen.push((await mapper.nextEvent()).lease);
  await mapper.stop();
  for await (const { kind, lease } of mapper.events()) if (kind === 'installed') seen.push(lease);
  assert.deepEqual(seen.toSorted(), [1, 2, 3, 4, 5]);
});

it('a loop that is left while it waits loses no event', async (t) => {
  const { mapper } = await mapperFor(t, { gateway: { faults: { pcpDelayMs: 100 } }, protocols: ['pcp'] });
  const events = mapper.events();
  const waiting = events.next();
  const lease = mapper.map({ port: 9001 });
  await events.return();
  assert.equal((await waiting).done, true);
  await lease.ready();
  assert.equal((await mapper.events().next()).value.kind, 'installed');
});

it('a loop sees every event since the call that made it, whoever else has read them', async (t) => {
  const { mapper } = await mapperFor(t);
  const [one, other] = [mapper.events(), mapper.events()];
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  assert.equal((await mapper.nextEvent()).kind, 'installed');
  await lease.stop();
  for (const events of [one, other]) {
    assert.equal((await events.next()).value.kind, 'installed');
    assert.equal((await events.next()).value.kind, 'exited');
  }
  // It has been read, so that a new reader does not get it.
  const late = mapper.events().next();
  await mapper.stop();
  assert.equal((await late).done, true);
});

it('calls of next that are pending at once get the events in their order', async (t) => {
  const { mapper } = await mapperFor(t);
  const events = mapper.events();
  const COUNT = 20;
  const all = Array.from({ length: 2 * COUNT }, () => events.next());
  for (let i = 0; i < COUNT; i++) {
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    await lease.stop();
  }
  const seen = (await Promise.all(all)).map(({ value: { kind, lease } }) => `${lease} ${kind}`);
  const expected = Array.from({ length: COUNT }, (_, i) => [`${i + 1} installed`, `${i + 1} exited`]);
  assert.deepEqual(seen, expected.flat());
});

it('pulls share one queue, so that each event is given out once', async (t) => {
  const { mapper } = await mapperFor(t);
  const waiting = [1, 2, 3].map(() => mapper.nextEvent());
  const leases = [9001, 9002, 9003].map((port) => mapper.map({ port }));
  const seen = await Promise.all(waiting);
  assert.deepEqual(
    seen.map(({ lease }) => lease).toSorted(),
    leases.map(({ id }) => id),
  );
});

it('a pull that was aborted or that timed out loses no event', async (t) => {
  const { mapper } = await mapperFor(t);
  await mapper.map({ port: 9001 }).ready();
  const controller = new AbortController();
  const waiting = mapper.nextEvent({ signal: controller.signal });
  controller.abort();
  await assert.rejects(waiting, { name: 'AbortError' });
  assert.equal((await mapper.nextEvent({ timeout: 0 })).kind, 'installed');
  await assert.rejects(mapper.nextEvent({ timeout: 0 }), { kind: 'timeout' });
});

it('a wait for one event is over before the next one comes', async (t) => {
  const { mapper } = await mapperFor(t);
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  await lease.stop();
  // Both have happened. Nobody but these two listens.
  await once(mapper, 'installed');
  await once(mapper, 'exited');
});

it('an endless wait for an event has no timer, whose longest would end it', async (t) => {
  const { mapper } = await mapperFor(t);
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const timeouts = [60_000, Number.POSITIVE_INFINITY, 2 ** 31];
  const waiting = timeouts.map((timeout) => mapper.nextEvent({ timeout }));
  assert.equal(timers(), before);
  for (const port of [9001, 9002, 9003]) mapper.map({ port });
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ kind }) => kind),
    ['installed', 'installed', 'installed'],
  );
});

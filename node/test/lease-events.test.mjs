// A lease as an emitter of its own events, and as people see it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { EventKind } from 'portlease';
import { mapperFor } from './helpers.mjs';

describe('a lease', { concurrency: 4 }, () => {
  it('emits the events that are about it, and only these, until it has exited', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    const heard = [];
    for (const kind of Object.values(EventKind)) lease.on(kind, (event) => heard.push([event.kind, event.lease]));
    await mapper.map({ port: 9002 }).ready();
    await lease.ready();
    gateway.setExternalAddress('192.0.1.2');
    await lease.repair();
    mapper.networkChanged();
    await lease.stop();
    assert.deepEqual(
      heard.filter(([kind]) => !['renewed', 'changed'].includes(kind)),
      ['installed', 'repaired', 'exited'].map((kind) => [kind, lease.id]),
    );
  });

  it('has told its listeners and those of its mapper of its end before stop and detach resolve', async (t) => {
    const { mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const heard = [];
    mapper.on('exited', ({ lease }) => heard.push(`mapper ${lease}`));
    const leases = [9001, 9002, 9003, 9004].map((port) => mapper.map({ port }));
    for (const lease of leases) lease.on('exited', () => heard.push(`lease ${lease.id}`));
    await Promise.all(leases.map((lease) => lease.ready()));
    await leases[0].stop();
    assert.deepEqual(heard.splice(0), ['lease 1', 'mapper 1']);
    await leases[1].detach();
    assert.deepEqual(heard.splice(0), ['lease 2', 'mapper 2']);
    await mapper.stop();
    assert.deepEqual(heard.sort(), ['lease 3', 'lease 4', 'mapper 3', 'mapper 4']);
    await mapper.stop();
    assert.equal(heard.length, 4);
  });

  it('has a loop over its own events, which ends with it', async (t) => {
    const { mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const [one, other] = [9001, 9002].map((port) => mapper.map({ port }));
    const events = one.events();
    await Promise.all([one.ready(), other.ready()]);
    const kinds = [];
    for await (const { kind, lease } of events) {
      kinds.push(kind, lease);
      if (kind === 'installed') await Promise.all([other.stop(), one.stop()]);
    }
    assert.deepEqual(kinds, ['installed', 1, 'exited', 1]);
    for await (const event of one.events()) assert.fail(event.kind);
    await assert.rejects(mapper.map({ port: 9003 }).events(AbortSignal.abort()).next(), { name: 'AbortError' });
  });

  it('takes a signal in place of options, in every wait', async (t) => {
    const { mapper } = await mapperFor(t, { gateway: { faults: { pcp: 'silent' } }, protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    const signal = AbortSignal.abort(new Error('mine'));
    for (const wait of [
      () => lease.ready(signal),
      () => lease.changed(signal),
      () => lease.repair(signal),
      () => mapper.nextEvent(signal),
      () => mapper.events(signal).next(),
      () => mapper.probe(signal),
      () => lease.detach(signal),
      () => lease.stop(signal),
      () => mapper.stop(signal),
    ]) {
      await assert.rejects(wait(), { message: 'mine' }, `${wait}`);
    }
  });

  it('and its mapper are shown in a line or two by inspect, and not with what is inside', async (t) => {
    const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'] });
    const lease = mapper.map({ port: 9001 });
    await lease.ready();
    assert.equal(
      inspect(lease),
      "Lease {\n  id: 1,\n  port: '9001/udp',\n  state: 'installed',\n  external: '192.0.1.1:9001',\n  lastError: null\n}",
    );
    assert.match(inspect(mapper), /^Mapper \{\n {2}gateway: '127.0.0.1'.*9001\/udp installed 192.0.1.1:9001.*\}$/s);
    assert.match(inspect({ a: { b: { lease } } }), /\[Lease\]/);
    assert.match(inspect(gateway), /^Gateway \{.*pcpPort.*mappings: 1/s);
    assert.doesNotMatch(inspect([lease, mapper, gateway], { depth: 9 }), /_events|handle/);
  });
});

// The public surface is what tests/surface.json says: no language may have less, or more, without that file.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import * as portlease from 'portlease';
import { Lease, Mapper } from 'portlease';
import { failed } from '../dist/errors.mjs';
import { mapperFor, snake } from './helpers.mjs';

const SURFACE = JSON.parse(readFileSync(new URL('../../tests/surface.json', import.meta.url), 'utf8'));

/** What Node alone has: its own ways to events, and to keep a process alive. */
const NODE_ONLY = { mapper: ['events', 'ref', 'unref'], lease: ['events', 'ref', 'unref'] };
function assertSame(ours, listed) {
  assert.deepEqual(ours.toSorted(), listed.toSorted());
}

const fields = (object) => Object.keys(object).map(snake);

for (const [list, name] of Object.entries({
  kinds: 'ErrorKind',
  states: 'LeaseState',
  events: 'EventKind',
  protocols: 'Protocol',
  protocols_of_mappings: 'MappingProtocol',
  transports: 'Transport',
  families: 'AddressFamily',
  nat_classes: 'NatClass',
  address_classes: 'AddressClass',
  releases: 'Release',
  log_levels: 'LogLevel',
})) {
  it(`${name} has the names of the file, by constants that say the same`, () => {
    const { [name]: constants } = portlease;
    assert.ok(Object.isFrozen(constants));
    assertSame(Object.values(constants), SURFACE[list]);
    for (const [key, value] of Object.entries(constants)) assert.equal(key, value.toUpperCase().replace('-', '_'));
  });
}

/** The options that a call takes, as it lists them itself. */
function optionsOf(call) {
  try {
    call({ 'no such option': 1 });
  } catch (error) {
    return error.message.split('there are ')[1].split(', ').map(snake);
  }
  return assert.fail('it takes everything');
}

it('settings and requests have the fields of the file', async (t) => {
  const { mapper } = await mapperFor(t);
  assertSame(
    optionsOf((options) => Mapper.start(options)),
    SURFACE.config,
  );
  const request = optionsOf((options) => mapper.map(options));
  // A call says `port`, as in every other language.
  assertSame(
    request.map((name) => (name === 'port' ? 'internal_port' : name)),
    SURFACE.request,
  );
});

it('snapshots, events, reports and errors have the fields of the file', async (t) => {
  const { gateway, mapper } = await mapperFor(t, { gateway: { natPmp: false } });
  const lease = mapper.map({ port: 9001 });
  assertSame(fields(lease.snapshot()), SURFACE.lease_snapshot);
  assertSame(fields(await lease.ready()), SURFACE.lease_snapshot);
  assertSame(fields(mapper.snapshot()), SURFACE.mapper_snapshot);
  assertSame(fields(mapper.snapshot().leases[0]), SURFACE.lease_snapshot);
  assertSame(fields(await mapper.nextEvent()), SURFACE.event);
  const report = await mapper.probe();
  assertSame(fields(report), SURFACE.gateway_report);
  for (const one of report.protocols) assertSame(fields(one), SURFACE.protocol_report);
  assertSame(fields((await mapper.table())[0]), SURFACE.table_entry);
  assertSame(fields(failed({ failed: { details: [{}], kind: 'refused' } }).details[0]), SURFACE.error_detail);
  gateway.setFaults({ tableFull: true });
  const other = mapper.map({ port: 9002 });
  const error = await other.ready().then(assert.fail, (error) => error);
  assertSame(fields(other.snapshot().lastError), SURFACE.error);
  // `code` is the kind as Node writes it.
  assertSame([...fields(error), 'message'], [...SURFACE.error, 'code']);
});

it('handles have the methods of the file, and Node alone a few more', () => {
  const own = (object) =>
    Object.getOwnPropertyNames(object)
      .filter((name) => name !== 'constructor')
      .map(snake);
  const statics = Object.getOwnPropertyNames(Mapper).filter((name) => !['length', 'name', 'prototype'].includes(name));
  assertSame([...statics, ...own(Mapper.prototype)], [...SURFACE.methods.mapper, ...NODE_ONLY.mapper]);
  assertSame(own(Lease.prototype), [...SURFACE.methods.lease, ...NODE_ONLY.lease]);
  const functions = Object.entries(portlease).filter(([, value]) => typeof value === 'function');
  const plain = functions.filter(([name]) => name[0] === name[0].toLowerCase()).map(([name]) => snake(name));
  assertSame(plain, SURFACE.methods.module);
});

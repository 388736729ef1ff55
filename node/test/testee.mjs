// The testee: makes the calls that the scenarios' runner asks for, many at once, and answers with what they gave. The
// lines are described in tests/scenarios/README.md.

import { createInterface } from 'node:readline';
import { Mapper, PortLeaseError } from 'portlease';
import { camel, snake } from './helpers.mjs';

/** The durations of settings and of results, which are milliseconds here and seconds there. */
const DURATIONS = [
  ...['ttl', 'renewalInterval', 'checkInterval', 'min', 'max'],
  ...['lifetime', 'expiresIn', 'renewsIn', 'elapsed', 'roundTrip', 'retryAfter'],
];

const mappers = new Map();
const leases = new Map();

/** The options of a call that waits: without a limit of the runner's, the library's default counts. */
const limit = ({ timeout }) => (timeout === null ? {} : { timeout: timeout * 1000 });

// The runner asks for no handle that is not there.
const CALLS = {
  start: ({ mapper, config }) => void mappers.set(mapper, Mapper.start(options(config))),
  map: (command) => void leases.set(command.lease, mappers.get(command.mapper).map(request(command))),
  ensure: (command) => {
    const lease = mappers.get(command.mapper).ensure(request(command));
    leases.set(command.lease, lease);
    return lease.id;
  },
  leases: ({ mapper }) =>
    mappers
      .get(mapper)
      .leases()
      .map(({ id }) => id),
  external_address: (command) => mappers.get(command.mapper).externalAddress(limit(command)),
  table: ({ mapper }) => mappers.get(mapper).table(),
  delete: ({ mapper, transport, external_port: externalPort, any_host: anyHost }) =>
    mappers.get(mapper).delete({ transport, externalPort, anyHost }),
  ready: (command) => leases.get(command.lease).ready(limit(command)),
  changed: (command) => leases.get(command.lease).changed({ since: command.since, ...limit(command) }),
  repair: (command) => leases.get(command.lease).repair(limit(command)),
  snapshot: ({ lease }) => leases.get(lease).snapshot(),
  stop: (command) => leases.get(command.lease).stop(limit(command)),
  detach: ({ lease }) => leases.get(lease).detach(),
  mapper_snapshot: ({ mapper }) => mappers.get(mapper).snapshot(),
  network_changed: ({ mapper }) => mappers.get(mapper).networkChanged(),
  next_event: (command) => mappers.get(command.mapper).nextEvent(limit(command)),
  probe: ({ mapper }) => mappers.get(mapper).probe(),
  stop_mapper: (command) => mappers.get(command.mapper).stop(limit(command)),
};

/** A request as Node names and measures it; what the runner leaves to the library is null. */
function request({ port, transport, external_port: externalPort, exact, family, ttl, description }) {
  const wishes = { externalPort, family, ttl: ttl && ttl * 1000, description };
  return { port, transport, exact, ...Object.fromEntries(Object.entries(wishes).filter(([, wish]) => wish !== null)) };
}

/** Settings as Node names and measures them. */
function options(settings) {
  if (typeof settings !== 'object' || Array.isArray(settings)) return settings;
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => {
      return [camel(name), DURATIONS.includes(camel(name)) ? value * 1000 : options(value)];
    }),
  );
}

/** A result as the scenarios write it. */
function view(result) {
  if (Array.isArray(result)) return result.map(view);
  if (typeof result !== 'object' || result === null) return result ?? null;
  if (typeof result.toJSON === 'function') return result.toJSON();
  if (result.kind === 'invalid') return failure(result);
  return Object.fromEntries(
    Object.entries(result).map(([name, value]) => {
      return [snake(name), DURATIONS.includes(name) && value !== null ? value / 1000 : view(value)];
    }),
  );
}

/** An error. The argument that its message names is written as the scenarios do. */
function failure({ kind, message, details, advice, retryAfter }) {
  const named = message.replace(/^[a-z]+[A-Za-z]*(?=: )/, snake);
  return { kind, message: named, ...view({ details, advice, retryAfter }) };
}

async function answer(command) {
  try {
    if (!Object.hasOwn(CALLS, command.do)) return { unsupported: command.do };
    return { result: view(await CALLS[command.do](command)) };
  } catch (error) {
    const known = error instanceof PortLeaseError && error.code === `ERR_PORTLEASE_${error.kind.toUpperCase()}`;
    return known ? { error: failure(error) } : { unsupported: error.stack };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  answer(command).then((said) => process.stdout.write(`${JSON.stringify({ id: command.id, ...said })}\n`));
}

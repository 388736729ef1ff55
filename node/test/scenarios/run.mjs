// Plays a scenario against a simulated gateway of its own.

import { setTimeout as sleep } from 'node:timers/promises';
import { Mapper, PortLeaseError } from 'portlease';
import { Gateway } from 'portlease/testing';
import { mismatch } from './matching.mjs';
import { errorView, gatewayOptions, options, view } from './view.mjs';

/** How long a wait goes on where the scenario names no time, in milliseconds: who waits this long has failed. */
const PATIENCE = 10_000;
/** How often a condition is looked at. */
const LOOK = 10;

/** The arguments of each call, with what they are where a step does not name them. */
const ACTIONS = {
  start: { mapper: 'mapper', config: {} },
  map: { mapper: 'mapper', lease: 'lease', port: undefined, transport: 'udp', external_port: null, exact: false },
  ready: { lease: 'lease', timeout: PATIENCE / 1000 },
  snapshot: { lease: 'lease' },
  wait_for: { lease: 'lease' },
  stop: { lease: 'lease', timeout: null },
  detach: { lease: 'lease' },
  mapper_snapshot: { mapper: 'mapper' },
  next_event: { mapper: 'mapper', timeout: PATIENCE / 1000, skip: null },
  probe: { mapper: 'mapper' },
  stop_mapper: { mapper: 'mapper', timeout: null },
  gateway: { line: undefined },
  wait_for_gateway: {},
  repeat: { times: undefined, steps: undefined },
};
const FIELDS = ['name', 'note', 'gateway', 'config', 'steps', 'end', 'fails_at'];

/** What is wrong, and where: the number of the step, or `end`. */
export class Failure extends Error {
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

/** Reads a scenario; what the format does not know is an error. */
export function parse(text) {
  const scenario = JSON.parse(text);
  for (const name of Object.keys(scenario)) if (!FIELDS.includes(name)) throw new Failure(`unknown field ${name}`);
  if (typeof scenario.name !== 'string' || !Array.isArray(scenario.steps)) throw new Failure('no name, or no steps');
  return { gateway: {}, config: {}, end: { mappings: [] }, ...scenario, steps: scenario.steps.map(parseStep) };
}

function parseStep(step) {
  const wrong = (what) => new Failure(`${what} in ${JSON.stringify(step)}`);
  const { do: action, sees, fails, within, ...given } = step;
  const known = Object.hasOwn(ACTIONS, action ?? '') ? ACTIONS[action] : undefined;
  if (!known) throw wrong('an unknown call');
  if (sees !== undefined && fails !== undefined) throw wrong('both `sees` and `fails`');
  if (within !== undefined && typeof within !== 'number') throw wrong('`within` is no number of seconds');
  if (sees === undefined && action.startsWith('wait_for')) throw wrong('nothing to wait for');
  for (const name of Object.keys(given)) if (!Object.hasOwn(known, name)) throw wrong(`unknown argument ${name}`);
  const args = { ...known, ...given };
  for (const [name, value] of Object.entries(args)) if (value === undefined) throw wrong(`no ${name}`);
  if (action === 'repeat') args.steps = args.steps.map(parseStep);
  return { action, sees, fails, within, args, text: JSON.stringify(step) };
}

/** Plays all steps, stops every mapper, and looks at what is left on the gateway. */
export async function run(scenario) {
  const gateway = await Gateway.start(gatewayOptions(scenario.gateway));
  const player = new Player(gateway, scenario.config);
  try {
    await player.play(scenario.steps);
    await player.stopAll();
    const difference = mismatch('end', scenario.end, player.state(scenario.end));
    if (difference) throw new Failure(difference, 'end');
  } finally {
    await player.stopAll();
    await gateway.stop();
  }
}

class Player {
  #mappers = new Map();
  #leases = new Map();
  #gateway;

  constructor(gateway, config) {
    this.#gateway = gateway;
    this.config = { ...gateway.config, ...options(config) };
  }

  async play(steps) {
    for (const [index, step] of steps.entries()) {
      try {
        await this.#step(step);
      } catch (error) {
        throw new Failure(`step ${index + 1}, ${step.text}\n  ${error.message}`, index + 1);
      }
    }
  }

  async stopAll() {
    await Promise.all([...this.#mappers.values()].map((mapper) => mapper.stop({ timeout: PATIENCE })));
  }

  async #step({ action, args, sees, fails, within }) {
    const start = performance.now();
    let difference;
    try {
      const result = await this[action](args, sees);
      if (fails) difference = `it should have failed, but gave ${JSON.stringify(result)}`;
      else if (sees !== undefined) difference = mismatch('result', sees, result);
    } catch (error) {
      if (!(error instanceof PortLeaseError)) throw error;
      if (error.code !== `ERR_PORTLEASE_${error.kind.toUpperCase()}`) throw error;
      difference = fails
        ? mismatch('error', fails, errorView(error))
        : `it failed: ${JSON.stringify(errorView(error))}`;
    }
    const took = (performance.now() - start) / 1000;
    if (difference) throw new Error(difference);
    if (took > (within ?? Number.POSITIVE_INFINITY)) throw new Error(`it took ${took} s, allowed are ${within} s`);
  }

  start({ mapper, config }) {
    this.#mappers.set(mapper, Mapper.start({ ...this.config, ...options(config) }));
    return null;
  }

  map({ mapper, lease, port, transport, external_port: externalPort, exact }) {
    const request = { port, transport, exact, ...(externalPort !== null && { externalPort }) };
    this.#leases.set(lease, this.#mapper(mapper).map(request));
    return null;
  }

  async ready({ lease, timeout }) {
    return view(await this.#lease(lease).ready({ timeout: timeout * 1000 }));
  }

  snapshot({ lease }) {
    return view(this.#lease(lease).snapshot());
  }

  wait_for({ lease }, sees) {
    return until(sees, () => view(this.#lease(lease).snapshot()));
  }

  stop({ lease, timeout }) {
    return this.#lease(lease).stop(limit(timeout));
  }

  async detach({ lease }) {
    await this.#lease(lease).detach();
    return null;
  }

  mapper_snapshot({ mapper }) {
    return view(this.#mapper(mapper).snapshot());
  }

  async next_event({ mapper, timeout, skip }) {
    const end = performance.now() + timeout * 1000;
    for (;;) {
      const event = view(await this.#mapper(mapper).nextEvent({ timeout: Math.max(end - performance.now(), 0) }));
      if (skip === null || mismatch('skip', skip, event)) return event;
    }
  }

  async probe({ mapper }) {
    return view(await this.#mapper(mapper).probe());
  }

  stop_mapper({ mapper, timeout }) {
    return this.#mapper(mapper).stop(limit(timeout));
  }

  gateway({ line }) {
    if (line.command === 'stop') throw new Error('the gateway stays until the end');
    try {
      return this.#gateway.execute(line);
    } catch (error) {
      throw new Error(`the gateway says: ${error.message}`);
    }
  }

  wait_for_gateway(_, sees) {
    return until(sees, () => this.state(sees));
  }

  async repeat({ times, steps }) {
    for (let i = 0; i < times; i++) await this.play(steps);
    return null;
  }

  /** Table and counters. A counter that `expected` names and that never counted is 0. */
  state(expected) {
    const { state } = this.gateway({ line: { command: 'state' } });
    for (const name of Object.keys(expected?.counters ?? {})) state.counters[name] ??= 0;
    return state;
  }

  #mapper(name) {
    const mapper = this.#mappers.get(name);
    if (!mapper) throw new Error(`no mapper \`${name}\` was started`);
    return mapper;
  }

  #lease(name) {
    const lease = this.#leases.get(name);
    if (!lease) throw new Error(`no lease \`${name}\` was mapped`);
    return lease;
  }
}

function limit(timeout) {
  return timeout === null ? {} : { timeout: timeout * 1000 };
}

/** Looks until it is as expected, and gives what was seen last. */
async function until(expected, look) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    const seen = look();
    if (performance.now() >= end || mismatch('', expected, seen) === undefined) return seen;
    await sleep(LOOK);
  }
}

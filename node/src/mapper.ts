import { EventEmitter } from 'node:events';
import { addon } from './addon';
import type { MapOptions, MapperOptions } from './config';
import { calling } from './errors';
import { EventIterator, follow } from './feed';
import { EventKind, type Release } from './names';
import type { EventsHandle, LeaseHandle, LeaseView, MapperHandle } from './native';
import {
  type ChangedOptions,
  changes,
  limits,
  request,
  type SignalOptions,
  settings,
  signalOf,
  type WaitOptions,
} from './options';
import {
  type ActiveLeaseSnapshot,
  fromEventView,
  fromLeaseView,
  fromMapperView,
  fromReportView,
  type GatewayReport,
  type LeaseSnapshot,
  leaseSnapshot,
  type MapperEvent,
  type MapperEventMap,
  type MapperSnapshot,
  NUMBERS,
  type SnapshotTexts,
  texts,
} from './snapshot';
import { hold, host, promised } from './waiting';

const NO_TEXTS: SnapshotTexts = { external: null, lastError: null };
// One for all leases: it is filled and read within one call.
const numbers = new Float64Array(NUMBERS);

function howItWent(release: Release): Release {
  return release;
}

/** Tells a mapper that a lease is to end. */
const forget = Symbol('forget');

/**
 * The promise to keep one port mapped, until {@link stop} or until its mapper is stopped; made by {@link Mapper.map}.
 */
export class Lease {
  /** The mapper that serves it. */
  readonly mapper: Mapper;
  readonly #handle: LeaseHandle;
  #texts = NO_TEXTS;
  #version = 0;

  /** @internal */
  constructor(mapper: Mapper, handle: LeaseHandle) {
    this.mapper = mapper;
    this.#handle = handle;
  }

  /** The lease's number within its mapper, from 1, as events name it. */
  get id(): number {
    return this.#handle.id;
  }

  /**
   * Waits for a mapping and answers with the snapshot that has it.
   *
   * Rejects with the kind of the latest whole attempt if that failed (the lease keeps trying unless
   * `retry: 'never'`). Every call that is pending hears of a failed attempt; a call after that waits for the next
   * attempt. Rejects with `timeout` if no attempt has ended within `timeout` milliseconds (default: no limit), with the
   * reason of `signal` as soon as that is aborted, and once the lease is over with the kind that ended it, or `stopped`.
   */
  async ready(options?: WaitOptions): Promise<ActiveLeaseSnapshot> {
    const { timeout, signal } = limits(options);
    return promised(
      (token) => this.#handle.ready(token, timeout),
      signal,
      (view: LeaseView) => fromLeaseView(view) as ActiveLeaseSnapshot,
    );
  }

  /**
   * Waits until the lease's state is another than `since` and answers with it. Resolves at once if it is another
   * already; several changes between two calls are seen as one.
   *
   * ```js
   * for (let seen = lease.snapshot(); ; seen = await lease.changed({ since: seen })) console.log(seen.state);
   * ```
   *
   * Rejects with `timeout` if nothing has changed within `timeout` milliseconds (default: no limit), with the reason of
   * `signal`, and with `stopped` once the lease is over and `since` is its last state.
   */
  async changed(options?: ChangedOptions): Promise<LeaseSnapshot> {
    const { since = this.snapshot().revision, timeout, signal } = changes(options);
    return promised((token) => this.#handle.changed(token, since, timeout), signal, fromLeaseView);
  }

  /**
   * Deletes the mapping on the gateway and makes it again with the same external port, if the gateway gives it, and
   * answers with the snapshot that has the new mapping: for a mapping that the gateway lists and does not forward. A
   * lease that is not mapped makes its next attempt at once.
   *
   * The event `repaired` tells that it has worked, `failed` that it has not; then the lease tries again as after any
   * loss. Rejects with `refused` if it was repaired less than 10 s ago (the message says how long to wait), with the
   * kind of the attempt, with `timeout` if it has not ended within `timeout` milliseconds (default: no limit), with the
   * reason of `signal`, and with `stopped` once the lease is over. If the time is up or `signal` is aborted, the repair
   * goes on.
   */
  async repair(options?: WaitOptions): Promise<ActiveLeaseSnapshot> {
    const { timeout, signal } = limits(options);
    return promised(
      (token) => this.#handle.repair(token, timeout),
      signal,
      (view: LeaseView) => fromLeaseView(view) as ActiveLeaseSnapshot,
    );
  }

  /** The present state: plain and frozen. Never waits and never fails. */
  snapshot(): LeaseSnapshot {
    const version = this.#handle.read(numbers);
    if (version !== this.#version) {
      this.#texts = texts(this.#handle.texts());
      this.#version = version;
    }
    return leaseSnapshot(numbers, this.#texts);
  }

  /**
   * Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` milliseconds
   * (default 5000). After that the release goes on in the background and the answer is `pending`. May be called again;
   * never fails for a gateway that is gone, which is `unconfirmed`: see {@link Release}. The release begins even if
   * `signal` was aborted before.
   */
  async stop(options?: WaitOptions): Promise<Release> {
    const { timeout, signal } = limits(options);
    this.mapper[forget](this);
    this.#handle.beginStop();
    return promised((token) => this.#handle.stop(token, timeout), signal, howItWent);
  }

  /**
   * Ends the lease and leaves the mapping on the gateway until its lifetime ends; one that is
   * {@link ActiveLeaseSnapshot.permanent} stays until somebody deletes it. Answers as {@link stop} does.
   */
  async detach(options?: SignalOptions): Promise<Release> {
    const signal = signalOf(options);
    this.mapper[forget](this);
    this.#handle.beginDetach();
    return promised((token) => this.#handle.detach(token), signal, howItWent);
  }

  /** {@link stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

const EVENT_KINDS = Object.values(EventKind);

const LISTENER_METHODS = [
  'on',
  'addListener',
  'prependListener',
  'once',
  'prependOnceListener',
  'off',
  'removeListener',
  'removeAllListeners',
] as const;

/** Up to so many leases are held whether they have ended or not. */
const SWEEP_ABOVE = 16;

/** For `open`: makes a mapper of its handle, and lets a mapper keep a lease. */
export const adopt = Symbol('adopt');
export const keep = Symbol('keep');

type Events = { [K in EventKind]: [event: MapperEventMap[K]] };

/**
 * A background engine that maps ports on the home gateway and keeps them mapped. One serves any number of leases.
 *
 * It emits an event of each {@link EventKind}, with a {@link MapperEvent}; never `error`. Listeners do not keep the
 * process alive, nor does an open lease: call {@link ref} for that. A process that ends in order, by
 * `process.exit()` or by an uncaught exception releases all mappings, for which it waits at most 2 s. What is mapped
 * stays mapped although the program drops its handles; a mapper without leases is collected with its thread.
 *
 * ```js
 * const mapper = Mapper.start();
 * const lease = mapper.map({ port: 9001, transport: 'udp' });
 * mapper.on('changed', ({ external }) => console.log(`now at ${external}`));
 * ```
 */
export class Mapper extends EventEmitter<Events> {
  /** Keeps mappers with leases, so that the garbage collector takes no mapping away. */
  static readonly #mapping = new Set<Mapper>();

  readonly #handle: MapperHandle;
  readonly #leases = new Set<Lease>();
  /** The reader behind {@link nextEvent}, from the first call on. */
  #queue: EventsHandle | undefined;
  #sweepAbove = SWEEP_ABOVE;
  #release: (() => void) | undefined;
  #unfollow: (() => void) | undefined;

  private constructor(handle: MapperHandle) {
    super();
    this.#handle = handle;
  }

  /**
   * Checks the options and starts the engine, a thread of its own. Does not touch the network.
   *
   * Throws `invalid`, naming the option, or `internal` if the system gives no thread.
   */
  static start(options?: MapperOptions): Mapper {
    const checked = settings(options);
    return new Mapper(calling(() => addon.MapperHandle.start(host, checked)));
  }

  /** @internal */
  static [adopt](handle: MapperHandle): Mapper {
    return new Mapper(handle);
  }

  /**
   * Begins to map a port and returns at once; the lease tells how it goes.
   *
   * Throws `invalid` for a bad option, or if another lease of this mapper has the same port, or asks for the same
   * external port, over the same transport; and `stopped`. A lease that was stopped is no longer in the way: the new
   * one begins when it has let go.
   */
  map(options: MapOptions): Lease {
    const checked = request(options);
    return this[keep](
      new Lease(
        this,
        calling(() => this.#handle.map(checked)),
      ),
    );
  }

  /** @internal */
  [keep]<T extends Lease>(lease: T): T {
    this.#leases.add(lease);
    if (this.#leases.size > this.#sweepAbove) this.#sweep();
    Mapper.#mapping.add(this);
    return lease;
  }

  /** Forgets the leases that have ended by themselves. */
  #sweep(): void {
    for (const lease of this.#leases) if (lease.snapshot().state === 'exited') this.#leases.delete(lease);
    // Not with each lease that is mapped: that would take a time that grows with the square of their number.
    this.#sweepAbove = Math.max(SWEEP_ABOVE, 2 * this.#leases.size);
  }

  /** @internal */
  [forget](lease: Lease): void {
    this.#leases.delete(lease);
    if (this.#leases.size === 0) Mapper.#mapping.delete(this);
  }

  /** The present state of the mapper and of every lease that has not exited. Never fails. */
  snapshot(): MapperSnapshot {
    return fromMapperView(this.#handle.snapshot());
  }

  /**
   * The next event, at most after `timeout` milliseconds (default: no limit).
   *
   * All calls pull from one queue, so that each event is given out once. Events that nobody has read wait, 1024 at most.
   * Beside listeners or other readers use {@link events}: there each reader gets every event.
   *
   * Rejects with `timeout`, with the reason of `signal`, and with `stopped` once the mapper is stopped and its last
   * event was pulled.
   */
  async nextEvent(options?: WaitOptions): Promise<MapperEvent> {
    const { timeout, signal } = limits(options);
    // Made at the call, so that it has what other readers read from now on.
    this.#queue ??= this.#handle.events();
    const queue = this.#queue;
    return promised((token) => queue.next(token, timeout), signal, fromEventView);
  }

  /**
   * A reader of its own: the events that nobody has read yet, and then every event from this call on, no
   * matter who else reads them. Ends when the mapper is stopped. An event that the loop has not read when it is left waits for the next
   * reader, unless another one has read it. A reader that falls more than 1024 events behind loses the oldest and is
   * told how many ({@link MapperEvent.dropped}).
   *
   * ```js
   * for await (const event of mapper.events({ signal })) console.log(event.kind, `${event.external}`);
   * ```
   *
   * Rejects with the reason of `signal` when that is aborted.
   */
  events(options?: SignalOptions): AsyncIterableIterator<MapperEvent> {
    const signal = signalOf(options);
    return new EventIterator(this.#handle.events(), signal);
  }

  /**
   * Asks by every configured protocol what the gateway offers; maps nothing.
   *
   * Rejects with `unavailable` or `refused` if no protocol has an offer (the message names each one's reason),
   * with `transport`, `stopped`, and with the reason of `signal`.
   */
  async probe(options?: SignalOptions): Promise<GatewayReport> {
    return promised((token) => this.#handle.probe(token), signalOf(options), fromReportView);
  }

  /**
   * Tells that the machine's network may have changed, for hosts that know before portlease does: phones tell their
   * apps, and sandboxes hide the network from them. Every lease looks again at once, and none waits for its next
   * attempt. Returns at once; does nothing once the mapper is stopped. It is needed nowhere else: portlease watches the
   * network itself.
   */
  networkChanged(): void {
    this.#handle.networkChanged();
  }

  /**
   * Releases every mapping on the gateway and ends the engine; waits for that, at most for `timeout` milliseconds
   * (default 5000, and 100 more for each lease). Answers as {@link Lease.stop} does, for all leases together, also for
   * those that ended before. May be called again; never fails for a gateway that is gone. The release begins even if
   * `signal` was aborted before.
   */
  async stop(options?: WaitOptions): Promise<Release> {
    const { timeout, signal } = limits(options);
    this.unref();
    this.#leases.clear();
    Mapper.#mapping.delete(this);
    this.#handle.beginStop();
    return promised((token) => this.#handle.stop(token, timeout), signal, howItWent);
  }

  /** {@link stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Keeps the process alive from now on, until {@link unref} or {@link stop}. */
  ref(): this {
    this.#release ??= hold();
    return this;
  }

  /** Lets the process end, as at the start. A pending promise keeps it alive all the same. */
  unref(): this {
    this.#release?.();
    this.#release = undefined;
    return this;
  }

  /** Reads events as long as there are listeners for them. */
  #attend(): this {
    if (EVENT_KINDS.some((kind) => this.listenerCount(kind) > 0)) {
      this.#unfollow ??= follow(this.#handle.events(), (event) => this.emit(event.kind, event as never));
    } else {
      this.#unfollow?.();
      this.#unfollow = undefined;
    }
    return this;
  }

  static {
    // Every way to add and to remove a listener. Some call others, which does no harm.
    for (const name of LISTENER_METHODS) {
      const method = EventEmitter.prototype[name] as (...args: unknown[]) => unknown;
      const value = function (this: Mapper, ...args: unknown[]): Mapper {
        method.apply(this, args);
        return this.#attend();
      };
      Object.defineProperty(Mapper.prototype, name, { value, writable: true, configurable: true });
    }
  }
}

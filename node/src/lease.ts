import { EventIterator } from './feed';
import { Attentive, attend, checkMade, drain, events, forget, inspectable, inspected, listen, made } from './internal';
import type { Mapper } from './mapper';
import { type AddressClass, EventKind, type LeaseState, type MappingProtocol, type Release } from './names';
import type { LeaseHandle, LeaseView } from './native';
import { type ChangedOptions, changes, limits, type SignalOptions, signalOf, type WaitOptions } from './options';
import {
  type ActiveLeaseSnapshot,
  type Endpoint,
  fromLeaseView,
  type LeaseEventMap,
  type LeaseSnapshot,
  leaseSnapshot,
  NUMBERS,
  type SnapshotTexts,
  texts,
} from './snapshot';
import { hold, promised, watch } from './waiting';

const NO_TEXTS: SnapshotTexts = { external: null, lastError: null };
// One for all leases: it is filled and read within one call.
const numbers = new Float64Array(NUMBERS);

/** The events that can be about a lease. */
const KINDS = Object.values(EventKind).filter((kind): kind is keyof LeaseEventMap => kind !== 'network-changed');

type Events = { [K in keyof LeaseEventMap]: [event: LeaseEventMap[K]] };

/**
 * The promise to keep one port mapped, until {@link stop} or until its mapper is stopped; made by {@link Mapper.map}.
 *
 * It emits its mapper's events that are about it, until `exited`. Listeners do not keep the process alive.
 *
 * ```js
 * lease.on('changed', ({ external }) => console.log(`now at ${external}`));
 * ```
 */
export class Lease extends Attentive<Events> {
  /** The mapper that serves it. */
  readonly mapper: Mapper;
  readonly #handle: LeaseHandle;
  #texts = NO_TEXTS;
  #version = 0;
  #release: (() => void) | undefined;
  /** Ends the watch that {@link ref} has begun. */
  #unwatch: (() => void) | undefined;

  /** Leases are made by {@link Mapper.map}; to call this throws a `TypeError`. */
  protected constructor(key: symbol, mapper: Mapper, handle: LeaseHandle) {
    checkMade(key, 'Lease', 'mapper.map()');
    super();
    this.mapper = mapper;
    this.#handle = handle;
    // Not among the fields that inspection and copies show.
    Object.defineProperty(this, 'mapper', { enumerable: false });
  }

  /** @internal */
  static [made](mapper: Mapper, handle: LeaseHandle): Lease {
    return new Lease(made, mapper, handle);
  }

  /** Its name, whatever a bundler has made of the class's. */
  get [Symbol.toStringTag](): string {
    return 'Lease';
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
  async ready(options?: WaitOptions | AbortSignal): Promise<ActiveLeaseSnapshot> {
    const { timeout, signal } = limits(options);
    return this.#wait((token) => this.#handle.ready(token, timeout), signal) as Promise<ActiveLeaseSnapshot>;
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
  async changed(options?: ChangedOptions | AbortSignal): Promise<LeaseSnapshot> {
    const { since = this.snapshot().revision, timeout, signal } = changes(options);
    return this.#wait((token) => this.#handle.changed(token, since, timeout), signal);
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
  async repair(options?: WaitOptions | AbortSignal): Promise<ActiveLeaseSnapshot> {
    const { timeout, signal } = limits(options);
    return this.#wait((token) => this.#handle.repair(token, timeout), signal) as Promise<ActiveLeaseSnapshot>;
  }

  /** Waits for a state. A lease that has ended by itself keeps its mapper no longer. */
  async #wait(begin: (token: number) => void, signal: AbortSignal | undefined): Promise<LeaseSnapshot> {
    try {
      return await promised(begin, signal, (view: LeaseView) => fromLeaseView(view));
    } finally {
      if (this.state === 'exited') this.mapper[forget](this.id);
    }
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

  /** Where the lease stands, as in its {@link snapshot}. */
  get state(): LeaseState {
    return this.snapshot().state;
  }

  /** Whether a granted, unexpired mapping is there, as in its {@link snapshot}. */
  get active(): boolean {
    return this.snapshot().active;
  }

  /** The external address and port, while active and if the gateway knows its address. */
  get external(): Endpoint | null {
    return this.snapshot().external;
  }

  /** The external port, while active; also if the gateway does not know its address. */
  get externalPort(): number | null {
    return this.snapshot().externalPort;
  }

  /** What made the mapping, while active. */
  get protocol(): MappingProtocol | null {
    return this.snapshot().protocol;
  }

  /** The class of the external address; `unknown` while not active. */
  get addressClass(): AddressClass {
    return this.snapshot().addressClass;
  }

  /**
   * Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` milliseconds
   * (default 5000). After that the release goes on in the background and the answer is `pending`. May be called again;
   * never fails for a gateway that is gone, which is `unconfirmed`: see {@link Release}. The release begins even if
   * `signal` was aborted before.
   */
  async stop(options?: WaitOptions | AbortSignal): Promise<Release> {
    const { timeout, signal } = limits(options);
    this.mapper[forget](this.id);
    this.#handle.beginStop();
    return promised(
      (token) => this.#handle.stop(token, timeout),
      signal,
      (release: Release) => this.#ended(release),
    );
  }

  /**
   * Ends the lease and leaves the mapping on the gateway until its lifetime ends; one that is
   * {@link ActiveLeaseSnapshot.permanent} stays until somebody deletes it. Answers as {@link stop} does.
   */
  async detach(options?: SignalOptions | AbortSignal): Promise<Release> {
    const signal = signalOf(options);
    this.mapper[forget](this.id);
    this.#handle.beginDetach();
    return promised(
      (token) => this.#handle.detach(token),
      signal,
      (release: Release) => this.#ended(release),
    );
  }

  /** Listeners have heard of the end before the caller goes on. */
  #ended(release: Release): Release {
    this.mapper[drain]();
    return release;
  }

  /**
   * The events of this lease: those that nobody has read yet, and then every one from this call on, until it has exited.
   * As {@link Mapper.events}.
   */
  events(options?: SignalOptions | AbortSignal): AsyncIterableIterator<LeaseEventMap[keyof LeaseEventMap]> {
    const exited = this.snapshot().state === 'exited';
    return new EventIterator(this.mapper[events](), signalOf(options), { lease: this.id, exited });
  }

  /** Keeps the process alive from now on, until {@link unref} or until the lease is over. */
  ref(): this {
    if (this.#release) return this;
    this.#release = hold();
    this.#untilExit();
    return this;
  }

  /** Lets the process end, as at the start. A pending promise keeps it alive all the same. */
  unref(): this {
    this.#unwatch?.();
    this.#release?.();
    this.#unwatch = undefined;
    this.#release = undefined;
    return this;
  }

  #untilExit(): void {
    const { state, revision } = this.snapshot();
    if (state === 'exited') {
      this.unref();
      return;
    }
    const unref = (): void => void this.unref();
    this.#unwatch = watch(
      (token) => this.#handle.changed(token, revision),
      () => this.#untilExit(),
      unref,
    );
  }

  /** {@link stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @internal */
  [attend](): void {
    this.mapper[listen](
      this,
      KINDS.some((kind) => this.listenerCount(kind) > 0),
    );
  }

  /** @internal */
  [inspectable](...how: [number, object, (value: unknown, options: object) => string]): string {
    const { id, state, transport, internalPort, external, lastError } = this.snapshot();
    const fields = { id, port: `${internalPort}/${transport}`, state, external: external && `${external}`, lastError };
    return inspected(this[Symbol.toStringTag], fields, ...how);
  }
}

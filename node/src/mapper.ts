import { EventEmitter } from 'node:events';
import type { MapOptions, MapperOptions } from './config';
import { calling } from './errors';
import { Feed } from './feed';
import { forget, Lease } from './lease';
import { EventKind } from './names';
import type { LeaseHandle, MapperHandle, ReportView } from './native';
import {
  checkObject,
  limits,
  type OpenOptions,
  request,
  type SignalOptions,
  settings,
  signalOf,
  type WaitOptions,
} from './options';
import {
  fromMapperView,
  fromReportView,
  type GatewayReport,
  type MapperEvent,
  type MapperEventMap,
  type MapperSnapshot,
} from './snapshot';
import { hold, host, promised } from './waiting';

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

/** For {@link open}, whose lease is of another class. */
const mapAs = Symbol('mapAs');

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
  /** What is mapped stays mapped although nobody holds the handles: the garbage collector decides nothing. */
  static readonly #mapping = new Set<Mapper>();

  readonly #handle: MapperHandle;
  readonly #feed: Feed;
  readonly #leases = new Set<Lease>();
  #sweepAbove = SWEEP_ABOVE;
  #release: (() => void) | undefined;
  #unsubscribe: (() => void) | undefined;

  private constructor(handle: MapperHandle) {
    super();
    this.#handle = handle;
    this.#feed = new Feed(handle);
  }

  /**
   * Checks the options and starts the engine, a thread of its own. Does not touch the network.
   *
   * Throws `invalid`, naming the option, or `internal` where the system gives no thread.
   */
  static start(options?: MapperOptions): Mapper {
    const checked = settings(options);
    return new Mapper(calling(() => host.start(checked)));
  }

  /**
   * Begins to map a port and returns at once; the lease tells how it goes.
   *
   * Throws `invalid` for a bad option, or where another lease of this mapper has the same port, or asks for the same
   * external port, over the same transport; and `stopped`. A lease that was stopped is no longer in the way: the new
   * one begins when it has let go.
   */
  map(options: MapOptions): Lease {
    return this[mapAs](Lease, options);
  }

  /** @internal */
  [mapAs]<T extends Lease>(kind: new (mapper: Mapper, handle: LeaseHandle) => T, options: MapOptions): T {
    const checked = request(options);
    const lease = new kind(
      this,
      calling(() => this.#handle.map(checked)),
    );
    this.#leases.add(lease);
    if (this.#leases.size > this.#sweepAbove) this.#sweep();
    Mapper.#mapping.add(this);
    return lease;
  }

  /** Lets those go that have ended by themselves. */
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
   * While nobody takes events, up to 1024 wait here. Listeners, iterators and this method all see each event that
   * comes while they are there; so use {@link events} in a loop, where no event may be missed beside a listener.
   *
   * Rejects with `timeout`, with the reason of `signal`, and with `stopped` once the mapper is stopped and its last
   * event was taken.
   */
  async nextEvent(options?: WaitOptions): Promise<MapperEvent> {
    const { timeout, signal } = limits(options);
    return this.#feed.next(timeout, signal);
  }

  /**
   * Every event from the first turn of the loop on, those that waited included; ends when the mapper is stopped. What
   * has come but was not read when the loop is left, waits for whoever asks next, unless somebody else has had it.
   *
   * ```js
   * for await (const event of mapper.events({ signal })) console.log(event.kind, `${event.external}`);
   * ```
   *
   * Rejects with the reason of `signal` when that is aborted.
   */
  events(options?: SignalOptions): AsyncIterableIterator<MapperEvent> {
    return this.#feed.iterate(signalOf(options));
  }

  /**
   * Asks by every configured protocol what the gateway offers; maps nothing.
   *
   * Rejects with `unavailable` or `refused` where no protocol has an offer, the message naming each one's reason,
   * with `transport`, `stopped`, and with the reason of `signal`.
   */
  async probe(options?: SignalOptions): Promise<GatewayReport> {
    return promised(
      () => this.#handle.probe(),
      signalOf(options),
      (view: ReportView) => fromReportView(view),
    );
  }

  /**
   * Releases every mapping on the gateway and ends the engine; waits for that, at most for `timeout` milliseconds
   * (default 5000), after which it goes on in the background: then the answer is `false`. May be called again; never
   * fails for a gateway that is gone. The release begins also where `signal` was aborted before.
   */
  async stop(options?: WaitOptions): Promise<boolean> {
    const { timeout, signal } = limits(options);
    this.unref();
    this.#leases.clear();
    Mapper.#mapping.delete(this);
    return promised(
      () => this.#handle.stop(timeout),
      signal,
      (over: boolean) => over,
      true,
    );
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

  /** Pulls events as long as there are listeners for them. */
  #attend(): this {
    const wanted = EVENT_KINDS.some((kind) => this.listenerCount(kind) > 0);
    if (wanted && !this.#unsubscribe) {
      this.#unsubscribe = this.#feed.subscribe({
        event: (event) => this.emit(event.kind, event as never),
        end: () => {},
      });
    } else if (!wanted) {
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
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

/** A lease together with the mapper that serves it alone; made by {@link open}. */
export class OpenPort extends Lease {
  /** Releases the mapping and ends the mapper; as {@link Mapper.stop}. */
  override stop(options?: WaitOptions): Promise<boolean> {
    return this.mapper.stop(options);
  }
}

/**
 * Maps one port and waits for the mapping: start, map and ready in one line. Stopping the result stops its mapper.
 *
 * ```js
 * const port = await open(9001);
 * console.log(`reachable at ${port.snapshot().external}`);
 * await port.stop();
 * ```
 *
 * The options are those of {@link Mapper.start}, {@link Mapper.map} and {@link Lease.ready} together. Rejects as they
 * fail; then nothing is left behind.
 */
export async function open(port: number, options: OpenOptions = {}): Promise<OpenPort> {
  checkObject('options', options);
  const { transport, externalPort, exact, family, timeout, signal, ...rest } = options;
  limits({ timeout, signal });
  signal?.throwIfAborted();
  const mapper = Mapper.start(rest);
  try {
    const lease = mapper[mapAs](OpenPort, { port, transport, externalPort, exact, family });
    await lease.ready({ timeout, signal });
    return lease;
  } catch (error) {
    // The caller learns of the failure at once; the release goes on in the background, or at the process's end.
    mapper.stop().catch(() => {});
    throw error;
  }
}

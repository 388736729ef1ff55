import { addon } from './addon';
import type { MapOptions, MapperOptions } from './config';
import { calling } from './errors';
import { apart, EventIterator, Feed } from './feed';
import {
  Attentive,
  attend,
  checkMade,
  drain,
  events,
  forget,
  inspectable,
  inspected,
  keep,
  listen,
  made,
} from './internal';
import { Lease } from './lease';
import { EventKind, type Release } from './names';
import type { EntryView, EventsHandle, LeaseHandle, MapperHandle } from './native';
import {
  type DeleteOptions,
  deletion,
  type FamilyOptions,
  familyOf,
  limits,
  request,
  type SignalOptions,
  settings,
  signalOf,
  type WaitOptions,
} from './options';
import {
  fromEntryViews,
  fromEventView,
  fromMapperView,
  fromReportView,
  type GatewayReport,
  type MapperEvent,
  type MapperEventMap,
  type MapperSnapshot,
  type TableEntry,
} from './snapshot';
import { hold, host, promised } from './waiting';

const EVENT_KINDS = Object.values(EventKind);

/** Up to so many leases are held whether they have ended or not. */
const SWEEP_ABOVE = 16;

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
export class Mapper extends Attentive<Events> {
  /** Keeps mappers with leases, so that the garbage collector takes no mapping away. */
  static readonly #mapping = new Set<Mapper>();

  readonly #handle: MapperHandle;
  /** Those that have not ended, by number. */
  readonly #leases = new Map<number, Lease>();
  /** Those that have listeners. */
  readonly #listening = new Map<number, Lease>();
  /** The reader behind {@link nextEvent}, from the first call on. */
  #queue: EventsHandle | undefined;
  #sweepAbove = SWEEP_ABOVE;
  #release: (() => void) | undefined;
  #feed: Feed | undefined;

  /** Mappers are made by {@link Mapper.start}; to call this throws a `TypeError`. */
  private constructor(key: symbol, handle: MapperHandle) {
    checkMade(key, 'Mapper', 'Mapper.start()');
    super();
    this.#handle = handle;
  }

  /**
   * Checks the options and starts the engine, a thread of its own. Does not touch the network.
   *
   * Throws `invalid`, naming the option, `unavailable` if portlease's binary for this machine is missing, or
   * `internal` if the system gives no thread.
   */
  static start(options?: MapperOptions): Mapper {
    const checked = settings(options);
    return new Mapper(
      made,
      calling(() => addon().MapperHandle.start(host(), checked)),
    );
  }

  /** @internal */
  static [made](handle: MapperHandle): Mapper {
    return new Mapper(made, handle);
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
    return this.#lease(calling(() => this.#handle.map(checked)));
  }

  /**
   * The lease that exists for an equal request, the same object, or a new one as {@link map} makes it. So a program may
   * ask again for what it has, for instance when its configuration is read anew.
   *
   * Throws as {@link map} does; a lease on the same port with other wishes is such a failure.
   */
  ensure(options: MapOptions): Lease {
    const checked = request(options);
    return this.#lease(calling(() => this.#handle.ensure(checked)));
  }

  /**
   * Begins to map a port over UDP and over TCP: two leases, in this order. Either may fail without the other, and their
   * external ports may differ unless the request is exact.
   *
   * Throws as {@link map} does; then there is no lease.
   */
  mapBoth(options: Omit<MapOptions, 'transport'>): [udp: Lease, tcp: Lease] {
    const checked = request(options);
    const [udp, tcp] = calling(() => this.#handle.mapBoth(checked)).map((handle) => this.#lease(handle));
    return [udp as Lease, tcp as Lease];
  }

  /** Every lease that was not told to end and has not ended by itself, by number. */
  leases(): Lease[] {
    return this.#handle.leases().map((handle) => this.#lease(handle));
  }

  /** The object for a handle: there is one for each lease. */
  #lease(handle: LeaseHandle): Lease {
    return this.#leases.get(handle.id) ?? this[keep](Lease[made](this, handle));
  }

  /** @internal */
  [keep]<T extends Lease>(lease: T): T {
    this.#leases.set(lease.id, lease);
    if (this.#leases.size > this.#sweepAbove) this.#sweep();
    Mapper.#mapping.add(this);
    return lease;
  }

  /** Forgets the leases that have ended by themselves. */
  #sweep(): void {
    for (const [id, lease] of this.#leases) if (lease.snapshot().state === 'exited') this.#leases.delete(id);
    // Not with each lease that is mapped: that would take a time that grows with the square of their number.
    this.#sweepAbove = Math.max(SWEEP_ABOVE, 2 * this.#leases.size);
  }

  /** @internal */
  [forget](lease: number): void {
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
  async nextEvent(options?: WaitOptions | AbortSignal): Promise<MapperEvent> {
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
  events(options?: SignalOptions | AbortSignal): AsyncIterableIterator<MapperEvent> {
    return new EventIterator(this[events](), signalOf(options));
  }

  /**
   * Asks by every configured protocol what the gateway of `family`, by default IPv4, offers; maps nothing. For IPv6 it
   * tells by which protocols the router could be asked for pinholes; whether its firewall lets packets through without
   * them, nobody can tell.
   *
   * Rejects with `unavailable` or `refused` if no protocol has an offer (the message names each one's reason),
   * with `transport`, `stopped`, and with the reason of `signal`; for IPv6 with `unavailable` also if this machine has no
   * global address.
   */
  async probe(options?: FamilyOptions | AbortSignal): Promise<GatewayReport> {
    const { family, signal } = familyOf(options);
    return promised((token) => this.#handle.probe(token, family), signal, fromReportView);
  }

  /**
   * The address at which the internet sees this machine, without a lease of one's own. Waits at most for `timeout`
   * milliseconds (default: until every protocol has answered or is silent, about 2 s).
   *
   * A lease that is active has it already. Else NAT-PMP and UPnP are asked. PCP alone can tell an address only with a
   * mapping: then UDP port 9 (discard) is mapped for a moment, as RFC 6887 11.6 says. Without a router it is the
   * machine's own address, if that is public.
   *
   * Rejects with `unavailable` if no protocol tells an address, with `refused`, `timeout`, `transport`, `stopped`, and
   * with the reason of `signal`.
   */
  async externalAddress(options?: WaitOptions | AbortSignal): Promise<string> {
    const { timeout, signal } = limits(options);
    return promised(
      (token) => this.#handle.externalAddress(token, timeout),
      signal,
      (address: string) => address,
    );
  }

  /**
   * Reads the router's table of mapped ports, of all programs and machines, as far as the router shows it (at most 1024
   * entries). Only UPnP can read it. Many routers also list the mappings made by PCP and NAT-PMP; ports forwarded by hand are
   * often left out.
   *
   * Rejects with `unavailable` if there is no UPnP, with `refused` if the router does not show its table, with
   * `transport`, `timeout`, `stopped`, and with the reason of `signal`.
   */
  async table(options?: SignalOptions | AbortSignal): Promise<readonly TableEntry[]> {
    return promised((token) => this.#handle.table(token), signalOf(options), fromEntryViews);
  }

  /**
   * Deletes an entry of the router's table (UPnP alone), for what nobody holds any more, and answers with what it was;
   * with null if the table has no such entry.
   *
   * Rejects with `invalid` for a bad option and for the mapping of a lease of this mapper, which is to be stopped
   * instead; with `refused` for an entry that forwards to another machine, unless `anyHost` is set, and if the router
   * says no; otherwise as {@link table} does. If `signal` is aborted, the delete goes on.
   */
  async delete(options: DeleteOptions): Promise<TableEntry | null> {
    const { transport, externalPort, anyHost, signal } = deletion(options);
    return promised(
      (token) => this.#handle.delete(token, transport, externalPort, anyHost),
      signal,
      (views: EntryView[]) => fromEntryViews(views)[0] ?? null,
    );
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
  async stop(options?: WaitOptions | AbortSignal): Promise<Release> {
    const { timeout, signal } = limits(options);
    this.unref();
    this.#leases.clear();
    Mapper.#mapping.delete(this);
    this.#handle.beginStop();
    return promised(
      (token) => this.#handle.stop(token, timeout),
      signal,
      (release: Release) => {
        // Listeners have heard of the end before the caller goes on.
        this[drain]();
        return release;
      },
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

  /** @internal */
  [events](): EventsHandle {
    return this.#handle.events();
  }

  /** @internal */
  [listen](lease: Lease, listens: boolean): void {
    if (listens) this.#listening.set(lease.id, lease);
    else this.#listening.delete(lease.id);
    this[attend]();
  }

  /** @internal */
  [drain](): void {
    this.#feed?.drain();
  }

  /** Reads events as long as there are listeners for them. @internal */
  [attend](): void {
    if (this.#listening.size > 0 || EVENT_KINDS.some((kind) => this.listenerCount(kind) > 0)) {
      this.#feed ??= new Feed(this.#handle.events(), (event) => this.#give(event));
    } else {
      this.#feed?.leave();
      this.#feed = undefined;
    }
  }

  #give(event: MapperEvent): void {
    const lease = this.#listening.get(event.lease ?? 0);
    if (event.kind !== 'network-changed' && lease) apart(() => lease.emit(event.kind, event as never));
    apart(() => this.emit(event.kind, event as never));
    if (event.kind !== 'exited') return;
    this[forget](event.lease);
    if (this.#listening.delete(event.lease)) this[attend]();
  }

  /** @internal */
  [inspectable](...how: [number, object, (value: unknown, options: object) => string]): string {
    const { gateway, localAddress, leases, active, lastError, stopped } = this.snapshot();
    const shown = leases.map(({ internalPort, transport, state, external }) => {
      return `${internalPort}/${transport} ${state}${external ? ` ${external}` : ''}`;
    });
    return inspected('Mapper', { gateway, localAddress, active, leases: shown, lastError, stopped }, ...how);
  }
}

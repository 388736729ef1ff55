// Written by scripts/native-types.mjs out of bindings/node/src; not for editing.

/**
 * A lease, and the texts of its last snapshot: JavaScript asks for them again only when they have changed. `token` is
 * the number of a wait that begins.
 */
export declare class LeaseHandle {
  /** The lease's number. */
  get id(): number
  /** Writes the present state into `numbers` (see `snapshot.rs`); the answer changes when [`texts`](Self::texts) do. */
  read(numbers: Float64Array): number
  /** The texts of the snapshot that was read last. */
  texts(): Texts
  /** Waits for a mapping. */
  ready(token: number, timeout?: number | undefined | null): void
  /** Waits for another state than the one with this revision. */
  changed(token: number, since: number, timeout?: number | undefined | null): void
  /** Deletes the mapping and makes it again. */
  repair(token: number, timeout?: number | undefined | null): void
  /** Asks for the release and does not wait. */
  beginStop(): void
  /** Stops, and answers how the mapping left the gateway. */
  stop(token: number, timeout?: number | undefined | null): void
  /** Asks for the end of the lease, which leaves the mapping, and does not wait. */
  beginDetach(): void
  /** Ends the lease and leaves the mapping. */
  detach(token: number): void
}

/** A failure as snapshots and events show it. */
export interface ErrorView {
  /** The stable kind. */
  kind: string
  /** For people. */
  message: string
  /** What each protocol has answered. */
  details: Array<DetailView>
  /** What to do. */
  advice?: string
  /** How long it is useless to try again, in milliseconds. */
  retryAfter?: number
}

/** A lease's snapshot. */
export interface LeaseView {
  /** As [`numbers`] has them. */
  numbers: Array<number>
  /** The external address and port. */
  external?: string
  /** The latest failure. */
  lastError?: ErrorView
}

/** A line of the router's table. */
export interface EntryView {
  /** The port outside. */
  externalPort: number
  /** UDP or TCP. */
  transport: string
  /** The host inside. */
  internalClient: string
  /** The port on that host. */
  internalPort: number
  /** What its maker calls it. */
  description: string
  /** Whether it is in force. */
  enabled: boolean
  /** The time that is left, in milliseconds. */
  lifetime?: number
  /** The only host that may use it. */
  remoteHost: string
  /** Whether it forwards to this machine. */
  thisMachine: boolean
}

/** A mapper's snapshot. */
export interface MapperView {
  /** The gateway. */
  gateway?: string
  /** The local address. */
  localAddress?: string
  /** The protocols by which the gateway has answered. */
  protocols: Array<string>
  /** Leases with a mapping. */
  active: number
  /** Successful renewals. */
  renewals: number
  /** Events that nobody pulled in time. */
  eventsDropped: number
  /** Every lease that has not exited. */
  leases: Array<LeaseView>
  /** The last thing that did not work and that no lease depends on. */
  lastError?: ErrorView
  /** Whether it was stopped. */
  stopped: boolean
}

/** A mapper. `token` is the number of a wait that begins. */
export declare class MapperHandle {
  /** Starts a mapper. */
  static start(host: Host, settings: object): MapperHandle
  /** Begins to map a port. */
  map(request: object): LeaseHandle
  /** The lease that exists for this request, or a new one. */
  ensure(request: object): LeaseHandle
  /** Begins to map a port over UDP and over TCP, in this order. */
  mapBoth(request: object): Array<LeaseHandle>
  /** Handles of all leases that live. */
  leases(): Array<LeaseHandle>
  /** The present state. */
  snapshot(): MapperView
  /** A reader that gets the events that nobody has read yet, and then every event. */
  events(): EventsHandle
  /** Asks what the gateway of a family offers, by default IPv4. */
  probe(token: number, family?: string | undefined | null): void
  /** Asks for the external address. */
  externalAddress(token: number, timeout?: number | undefined | null): void
  /** Reads the router's table. */
  table(token: number): void
  /** Deletes an entry of the router's table, and answers with that entry, if there was one. */
  delete(token: number, transport: string, externalPort: number, anyHost: boolean): void
  /** Tells that the network may have changed. */
  networkChanged(): void
  /** Asks for the end and does not wait. */
  beginStop(): void
  /** Stops, and answers how the mappings left the gateway. */
  stop(token: number, timeout?: number | undefined | null): void
}

/** A port, whose lease and mapper end together. */
export declare class PortHandle {
  /** Starts the mapper and begins to map. */
  static begin(host: Host, settings: object, request: object): PortHandle
  /** The mapper. To be called once: the mapper ends with the handle that this makes. */
  mapper(): MapperHandle
  /** The lease. */
  lease(): LeaseHandle
  /** Asks for the end of both, which leaves the mapping, and does not wait. */
  beginDetach(): void
}

/** A reader of a mapper's events. */
export declare class EventsHandle {
  /** This reader's next event, if there is one already. Does not wait. */
  tryNext(): EventView | null
  /** Waits for this reader's next event. */
  next(token: number, timeout?: number | undefined | null): void
}

/** A reader of what the whole process tells. */
export declare class LogHandle {
  /** Begins to listen down to a level. `bell` is called when it is time to call [`next`](Self::next) until that finds nothing. */
  static listen(level: string, bell: () => void): LogHandle
  /** The next record, if there is one. Does not wait. */
  next(): LogView | null
  /** Ends the listening. */
  close(): void
}

/** A running gateway. */
export declare class GatewayHandle {
  /** Starts a gateway with these settings, a JSON object. Opens its sockets on loopback, which takes a moment. */
  static start(settings: string): GatewayHandle
  /** Its addresses, as the line `started` has them. */
  started(): string
  /** Carries out a line and answers with the reply. */
  execute(line: string): string
  /** Closes the sockets, which takes a moment, at most 2 s. May be called again. */
  stop(): void
}

/** An error of the system. */
export interface CauseView {
  /** Its number, if it has one. */
  number?: number
  /** For people. */
  message: string
}

/** How a wait failed. */
export interface FailedView {
  /** Why. */
  failed: ErrorView
  /** The system's error, if there is one. */
  cause?: CauseView
}

/** One protocol's part of it. */
export interface ProtocolView {
  /** The protocol. */
  protocol: string
  /** The external address. */
  externalAddress?: string
  /** The device's name. */
  device?: string
  /** How long the answer took, in milliseconds. */
  roundTrip?: number
  /** Why there was none. */
  error?: ErrorView
}

/** One thing that was told. */
export interface LogView {
  /** How much it matters. */
  level: string
  /** The part of portlease that tells it. */
  target: string
  /** What happened. */
  message: string
  /** When, in milliseconds since 1970. */
  time: number
  /** How many were lost just before. */
  dropped: number
}

/** Runs the command line, its name first, to its end, and answers with the exit status. Blocks. */
export declare function run(arguments: Array<string>): number;

/** Something that happened. */
export interface EventView {
  /** What happened. */
  kind: string
  /** The number of the lease. */
  lease?: number
  /** UDP or TCP. */
  transport?: string
  /** IPv4 or IPv6. */
  family?: string
  /** The local port. */
  internalPort?: number
  /** The external address and port. */
  external?: string
  /** The external port. */
  externalPort?: number
  /** The protocol of the mapping. */
  protocol?: string
  /** The granted lifetime, in milliseconds. */
  lifetime?: number
  /** The class of the external address. */
  addressClass: string
  /** Why. */
  error?: ErrorView
  /** How long the attempt took, in milliseconds. */
  elapsed: number
  /** How many events were dropped just before. */
  dropped: number
}

/** The start of everything in one environment. */
export declare class Host {
  /** `bell` is called when it is time to call [`next`](Self::next) until that finds nothing. */
  constructor(bell: () => void)
  /** The number of the next wait that is over, if there is one; `take` has its outcome. Does not wait. */
  next(): number | null
  /** How the wait ended that `next` found last; `null` the second time. */
  take(): string | LeaseView | EventView | ReportView | Array<EntryView> | FailedView | null
  /** Ends a wait; what was waited for goes on. */
  cancel(token: number): void
  /** Stops every mapper and waits for that, at most for so many milliseconds: for the end of the process. */
  stopAll(timeout: number): void
}

/** The texts of a snapshot. */
export interface Texts {
  /** The external address and port. */
  external?: string
  /** The latest failure. */
  lastError?: ErrorView
}

/** The version of the addon. */
export declare function version(): string;

/** What a gateway offers. */
export interface ReportView {
  /** The gateway. */
  gateway?: string
  /** The local address. */
  localAddress?: string
  /** The interface of the default route. */
  interface?: string
  /** One entry for each configured protocol. */
  protocols: Array<ProtocolView>
}

/** What happens after a failure. */
export interface Retry {
  /** Not to try again. */
  never?: boolean
  /** The first wait, in milliseconds. */
  min?: number
  /** The longest, in milliseconds. */
  max?: number
}

/** What one protocol has answered. */
export interface DetailView {
  /** The protocol. */
  protocol: string
  /** The stable kind. */
  kind: string
  /** The router's number. */
  code?: number
  /** Its name. */
  name?: string
  /** For how long the refusal holds, in milliseconds. */
  retryAfter?: number
  /** For people. */
  message: string
}

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
  /** The present state. */
  snapshot(): MapperView
  /** A reader that gets the events that nobody has read yet, and then every event. */
  events(): EventsHandle
  /** Asks what the gateway offers. */
  probe(token: number): void
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
  /** The answer of the wait that `next` found last, or its error; `null` the second time. */
  take(): string | LeaseView | EventView | ReportView | null
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

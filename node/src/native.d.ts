// Written by scripts/native-types.mjs out of bindings/node/src; not for editing.

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

/** A lease, and the texts of its last snapshot: JavaScript asks for them again only when they have changed. */
export declare class LeaseHandle {
  /** The lease's number. */
  get id(): number
  /** Writes the present state into `numbers` (see `snapshot.rs`); the answer changes when [`texts`](Self::texts) do. */
  read(numbers: Float64Array): number
  /** The texts of the snapshot that was read last. */
  texts(): Texts
  /** Waits for a mapping. */
  ready(timeout?: number | undefined | null): Wait
  /** Stops; `true` where all is over. */
  stop(timeout?: number | undefined | null): Wait
  /** Ends the lease and leaves the mapping. */
  detach(): Wait
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
  /** Whether it was stopped. */
  stopped: boolean
}

/** A mapper. */
export declare class MapperHandle {
  /** Begins to map a port. */
  map(request: object): LeaseHandle
  /** The present state. */
  snapshot(): MapperView
  /** Waits for the next event, without a limit. */
  nextEvent(): Wait
  /** Asks what the gateway offers. */
  probe(): Wait
  /** Stops; `true` where all is over. */
  stop(timeout?: number | undefined | null): Wait
}

/** A pending call. */
export declare class Wait {
  /** The number by which the bell names it. */
  get id(): number
  /**
   * Looks whether it has ended: the answer, `null` where it goes on, or the error. Once ended or cancelled it is
   * `null` for ever.
   */
  poll(): boolean | LeaseView | EventView | ReportView | null
  /** Ends the wait; what was waited for goes on. */
  cancel(): void
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
  /** `bell` is called with the number of each wait that is to be polled. */
  constructor(bell: (wait: number) => void)
  /** Starts a mapper. */
  start(settings: object): MapperHandle
  /** Stops every mapper and waits for that, at most for so many milliseconds: for the end of the process. */
  stopAll(timeout: number): boolean
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

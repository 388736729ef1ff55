import { type ErrorReport, report } from './errors';
import {
  AddressClass,
  AddressFamily,
  type EventKind,
  LeaseState,
  MappingProtocol,
  NatClass,
  type Protocol,
  Transport,
} from './names';
import type { EntryView, ErrorView, EventView, LeaseView, MapperView, ReportView } from './native';

/**
 * An address and a port. As text, in a template or in JSON, it is `address:port`, with brackets around an IPv6 address.
 */
export class Endpoint {
  /** The address, `203.0.113.7` or `2001:db8::7`. */
  readonly address: string;
  /** The port. */
  readonly port: number;

  /** Takes an endpoint apart that is written `address:port`. */
  constructor(text: string) {
    const colon = text.lastIndexOf(':');
    this.address = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
    this.port = Number(text.slice(colon + 1));
    Object.freeze(this);
  }

  /** `address:port`. */
  toString(): string {
    return this.address.includes(':') ? `[${this.address}]:${this.port}` : `${this.address}:${this.port}`;
  }

  /** `address:port`. */
  toJSON(): string {
    return this.toString();
  }
}

/** All fields with what they mean; the two forms narrow their types. */
interface CommonLeaseSnapshot {
  /** The lease's number within its mapper, from 1. */
  readonly id: number;
  /** Where the lease stands. */
  readonly state: LeaseState;
  /** Whether there is a granted, unexpired mapping. */
  readonly active: boolean;
  /** The external address and port, if the gateway knows its address; the same object as long as they are the same. */
  readonly external: Endpoint | null;
  /** The external port; also if the gateway does not know its address. */
  readonly externalPort: number | null;
  /** The local port. */
  readonly internalPort: number;
  /** `udp` or `tcp`. */
  readonly transport: Transport;
  /** `ipv4` for a port mapping, `ipv6` for a pinhole. */
  readonly family: AddressFamily;
  /** What made the mapping. */
  readonly protocol: MappingProtocol | null;
  /** The granted lifetime in milliseconds; null if the mapping is permanent. */
  readonly lifetime: number | null;
  /** Milliseconds until the gateway ends the mapping if it is not renewed; null if it is permanent. */
  readonly expiresIn: number | null;
  /** Milliseconds until the next renewal. */
  readonly renewsIn: number | null;
  /** Whether the mapping stays on the gateway until it is deleted. */
  readonly permanent: boolean;
  /** Successful renewals of the present mapping and of those before it. */
  readonly renewals: number;
  /** Consecutive failures: of renewals while active, of attempts to map otherwise. */
  readonly failures: number;
  /** The latest failure; cleared by the next success. */
  readonly lastError: ErrorReport | null;
  /** `open` while there is a mapping with a public external address. */
  readonly natClass: NatClass;
  /** Whether the internet can reach the external address. */
  readonly addressClass: AddressClass;
  /** The number of this state, which grows with each change. */
  readonly revision: number;
}

/** A lease with a granted, unexpired mapping. */
export interface ActiveLeaseSnapshot extends CommonLeaseSnapshot {
  readonly active: true;
  readonly state: typeof LeaseState.INSTALLED | typeof LeaseState.RENEWING;
  readonly externalPort: number;
  readonly protocol: MappingProtocol;
  readonly renewsIn: number;
}

/** A lease without a mapping. */
export interface InactiveLeaseSnapshot extends CommonLeaseSnapshot {
  readonly active: false;
  readonly external: null;
  readonly externalPort: null;
  readonly protocol: null;
  readonly lifetime: null;
  readonly expiresIn: null;
  readonly renewsIn: null;
  readonly permanent: false;
  readonly natClass: 'unknown';
  readonly addressClass: 'unknown';
}

/** One lease at one moment; `active` tells the two forms apart. Plain and frozen; durations are milliseconds. */
export type LeaseSnapshot = ActiveLeaseSnapshot | InactiveLeaseSnapshot;

/** A mapper at one moment. Plain and frozen. */
export interface MapperSnapshot {
  /** The gateway, once it was looked for and found. A link-local address has its scope, `fe80::1%eth0`. */
  readonly gateway: string | null;
  /** The local address to which the gateway forwards, once known. */
  readonly localAddress: string | null;
  /** The protocols by which the gateway has answered so far. */
  readonly protocols: readonly Protocol[];
  /** Leases with a granted, unexpired mapping. */
  readonly active: number;
  /** Successful renewals, all leases together. */
  readonly renewals: number;
  /** Events that nobody pulled in time and that were dropped for newer ones. */
  readonly eventsDropped: number;
  /** Every lease that has not exited, by number. */
  readonly leases: readonly LeaseSnapshot[];
  /** The last thing that did not work and that no lease depends on, such as writing to the state directory. */
  readonly lastError: ErrorReport | null;
  /** Whether the mapper was stopped. */
  readonly stopped: boolean;
}

interface CommonProtocolReport {
  /** The protocol. */
  readonly protocol: Protocol;
  /** The gateway's external address, if the protocol can tell without mapping and the gateway has one. */
  readonly externalAddress: string | null;
  /** The device's name (UPnP). */
  readonly device: string | null;
  /** How long the answer took, in milliseconds; for UPnP from the search to the last answer. */
  readonly roundTrip: number | null;
  /** Why it has no offer. */
  readonly error: ErrorReport | null;
}

interface Offer extends CommonProtocolReport {
  readonly roundTrip: number;
  readonly error: null;
}

interface NoOffer extends CommonProtocolReport {
  readonly externalAddress: null;
  readonly device: null;
  readonly roundTrip: null;
  readonly error: ErrorReport;
}

/** What one protocol answered to a probe: its offer, or `error`. */
export type ProtocolReport = Offer | NoOffer;

/** What a gateway offers, asked without mapping anything. Plain and frozen. */
export interface GatewayReport {
  /** The gateway's address; a link-local one has its scope, `fe80::1%eth0`. */
  readonly gateway: string | null;
  /** The local address from which it is reached. */
  readonly localAddress: string | null;
  /** The interface of the default route, if it is known. */
  readonly interface: string | null;
  /** One entry for each configured protocol that has the family (NAT-PMP has no IPv6), in the configured order. */
  readonly protocols: readonly ProtocolReport[];
}

/** A line of the router's table of mapped ports. Plain and frozen. */
export interface TableEntry {
  /** The port on the router's public side. */
  readonly externalPort: number;
  /** `udp` or `tcp`. */
  readonly transport: Transport;
  /** The host inside to which the router forwards: an address, on some routers a name. */
  readonly internalClient: string;
  /** The port on that host. */
  readonly internalPort: number;
  /** What the one who made it calls it. */
  readonly description: string;
  /** Whether it is in force. */
  readonly enabled: boolean;
  /** The milliseconds that are left; null for an entry that does not end by itself. */
  readonly lifetime: number | null;
  /** The only host that may use it; empty for everybody. */
  readonly remoteHost: string;
  /** Whether it forwards to this machine. */
  readonly thisMachine: boolean;
}

/** All fields with what they mean; each form of an event narrows their types. */
interface CommonEvent<K extends EventKind> {
  /** What happened. */
  readonly kind: K;
  /** The number of the lease; null if the event is about no single one. */
  readonly lease: number | null;
  /** `udp` or `tcp`. */
  readonly transport: Transport | null;
  /** `ipv4` for a port mapping, `ipv6` for a pinhole; null if the event is about no lease. */
  readonly family: AddressFamily | null;
  /** The local port. */
  readonly internalPort: number | null;
  /** The external address and port, if there is a mapping and the gateway knows its address. */
  readonly external: Endpoint | null;
  /** The external port, if there is a mapping. */
  readonly externalPort: number | null;
  /** What made the mapping. */
  readonly protocol: MappingProtocol | null;
  /** The granted lifetime in milliseconds; null if there is no mapping or it is permanent. */
  readonly lifetime: number | null;
  /** The class of the external address, `unknown` if there is none. */
  readonly addressClass: AddressClass;
  /** Why, where something went wrong. */
  readonly error: ErrorReport | null;
  /** How long the attempt took that this event ends, in milliseconds; 0 if it ends none. */
  readonly elapsed: number;
  /** How many events were dropped just before this one because nobody took them. */
  readonly dropped: number;
}

interface LeaseEvent<K extends EventKind> extends CommonEvent<K> {
  readonly lease: number;
  readonly transport: Transport;
  readonly family: AddressFamily;
  readonly internalPort: number;
}

/** The gateway granted a mapping, granted it again, made it anew, or with another external address. */
export interface MappedEvent<K extends 'installed' | 'renewed' | 'changed' | 'repaired'> extends LeaseEvent<K> {
  readonly externalPort: number;
  readonly protocol: MappingProtocol;
  readonly error: null;
}

/**
 * An attempt failed; the lease goes on, and its mapping, if it had one, is still in force. Or something does not
 * work that no lease depends on, such as writing to the state directory: then `lease` is null.
 */
export interface FailedEvent extends CommonEvent<'failed'> {
  /** The external address and port of the mapping that could not be renewed. */
  readonly external: Endpoint | null;
  /** Its external port. */
  readonly externalPort: number | null;
  /** What made that mapping. */
  readonly protocol: MappingProtocol | null;
  readonly error: ErrorReport;
}

/** The mapping was lost. */
export interface RevokedEvent extends LeaseEvent<'revoked'> {
  readonly external: null;
  readonly externalPort: null;
  readonly protocol: null;
  readonly error: ErrorReport;
}

/** The lease is over. */
export interface ExitedEvent extends LeaseEvent<'exited'> {
  readonly external: null;
  readonly externalPort: null;
  readonly protocol: null;
  /** Why, if it was not simply stopped. */
  readonly error: ErrorReport | null;
}

/** The machine is in another network, or has lost its network; about all leases. */
export interface NetworkChangedEvent extends CommonEvent<'network-changed'> {
  readonly lease: null;
  readonly transport: null;
  readonly family: null;
  readonly internalPort: null;
  readonly external: null;
  readonly externalPort: null;
  readonly protocol: null;
  readonly lifetime: null;
}

/** The events that have a form of their own. */
interface FormedEvents {
  /** The gateway granted a mapping. */
  installed: MappedEvent<'installed'>;
  /** The gateway granted the same mapping again. */
  renewed: MappedEvent<'renewed'>;
  /** A renewal brought another external address or port. */
  changed: MappedEvent<'changed'>;
  /** The mapping was deleted and made again: {@link Lease.repair}. */
  repaired: MappedEvent<'repaired'>;
  /** An attempt to map or to renew failed; the lease goes on. */
  failed: FailedEvent;
  /** The mapping was lost. */
  revoked: RevokedEvent;
  /** The lease is over. */
  exited: ExitedEvent;
  /** The machine is in another network, or has lost its network. */
  'network-changed': NetworkChangedEvent;
}

/** Which event each kind comes with. */
export type MapperEventMap = FormedEvents & { [K in Exclude<EventKind, keyof FormedEvents>]: CommonEvent<K> };

/** Which event a lease's own listeners get with each kind. */
export type LeaseEventMap = {
  [K in Exclude<EventKind, 'network-changed'>]: MapperEventMap[K] & { readonly lease: number };
};

/** Something that happened; `kind` tells the forms apart. Plain and frozen; durations are milliseconds. */
export type MapperEvent = MapperEventMap[EventKind];

// In core's own order, in which the addon's numbers count.
const STATES = Object.values(LeaseState);
const TRANSPORTS = Object.values(Transport);
const PROTOCOLS = Object.values(MappingProtocol);
const NAT_CLASSES = Object.values(NatClass);
const ADDRESS_CLASSES = Object.values(AddressClass);
const FAMILIES = Object.values(AddressFamily);
/** How many numbers a lease's snapshot has. */
export const NUMBERS = 17;

/** The texts of a snapshot, which seldom change. */
export interface SnapshotTexts {
  readonly external: Endpoint | null;
  readonly lastError: ErrorReport | null;
}

/** A number that is negative if it is absent. */
function present(number: number): number | null {
  return number < 0 ? null : number;
}

/** A snapshot out of the addon's numbers, in the order of `snapshot.rs`. */
export function leaseSnapshot(numbers: ArrayLike<number>, { external, lastError }: SnapshotTexts): LeaseSnapshot {
  const active = numbers[2] === 1;
  return Object.freeze({
    id: numbers[0],
    state: STATES[numbers[1] as number],
    active,
    external,
    externalPort: present(numbers[15] as number),
    internalPort: numbers[3],
    transport: TRANSPORTS[numbers[4] as number],
    family: FAMILIES[numbers[16] as number],
    protocol: active ? PROTOCOLS[numbers[5] as number] : null,
    lifetime: present(numbers[6] as number),
    expiresIn: present(numbers[7] as number),
    renewsIn: present(numbers[8] as number),
    permanent: numbers[9] === 1,
    renewals: numbers[10],
    failures: numbers[11],
    lastError,
    natClass: NAT_CLASSES[numbers[12] as number],
    addressClass: ADDRESS_CLASSES[numbers[13] as number],
    revision: numbers[14],
  }) as LeaseSnapshot;
}

function endpoint(text: string | undefined): Endpoint | null {
  return text === undefined ? null : new Endpoint(text);
}

export function texts(view: { external?: string; lastError?: ErrorView }): SnapshotTexts {
  return { external: endpoint(view.external), lastError: report(view.lastError) };
}

export function fromLeaseView(view: LeaseView): LeaseSnapshot {
  return leaseSnapshot(view.numbers, texts(view));
}

export function fromMapperView(view: MapperView): MapperSnapshot {
  return Object.freeze({
    gateway: view.gateway ?? null,
    localAddress: view.localAddress ?? null,
    protocols: Object.freeze(view.protocols as Protocol[]),
    active: view.active,
    renewals: view.renewals,
    eventsDropped: view.eventsDropped,
    leases: Object.freeze(view.leases.map(fromLeaseView)),
    lastError: report(view.lastError),
    stopped: view.stopped,
  });
}

export function fromEventView(view: EventView): MapperEvent {
  return Object.freeze({
    kind: view.kind,
    lease: view.lease ?? null,
    transport: view.transport ?? null,
    family: view.family ?? null,
    internalPort: view.internalPort ?? null,
    external: endpoint(view.external),
    externalPort: view.externalPort ?? null,
    protocol: view.protocol ?? null,
    lifetime: view.lifetime ?? null,
    addressClass: view.addressClass,
    error: report(view.error),
    elapsed: view.elapsed,
    dropped: view.dropped,
  }) as MapperEvent;
}

export function fromReportView(view: ReportView): GatewayReport {
  const protocols = view.protocols.map((one) =>
    Object.freeze({
      protocol: one.protocol,
      externalAddress: one.externalAddress ?? null,
      device: one.device ?? null,
      roundTrip: one.roundTrip ?? null,
      error: report(one.error),
    }),
  );
  return Object.freeze({
    gateway: view.gateway ?? null,
    localAddress: view.localAddress ?? null,
    interface: view.interface ?? null,
    protocols: Object.freeze(protocols as ProtocolReport[]),
  });
}

export function fromEntryViews(views: EntryView[]): readonly TableEntry[] {
  return Object.freeze(
    views.map(({ transport, lifetime, ...rest }) =>
      Object.freeze({ ...rest, transport: transport as Transport, lifetime: lifetime ?? null }),
    ),
  );
}

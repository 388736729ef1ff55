/** The stable names, the same in every language that portlease has. */

/** What went wrong. */
export const ErrorKind = Object.freeze({
  /** No gateway, or none of the protocols answered, or the gateway says that it has no such service. */
  UNAVAILABLE: 'unavailable',
  /** A call ran past its deadline. */
  TIMEOUT: 'timeout',
  /** A socket-level error on the way to the gateway. */
  TRANSPORT: 'transport',
  /** The gateway answered no. */
  REFUSED: 'refused',
  /** The caller's argument: the message names it and says what is allowed. */
  INVALID: 'invalid',
  /** The handle is closed. */
  STOPPED: 'stopped',
  /** A defect in portlease. */
  INTERNAL: 'internal',
});
/** What went wrong. */
export type ErrorKind = (typeof ErrorKind)[keyof typeof ErrorKind];

/** Where a lease stands. */
export const LeaseState = Object.freeze({
  /** Not begun, or waiting for the next attempt. */
  IDLE: 'idle',
  /** Asking the gateway for a mapping. */
  PROBING: 'probing',
  /** Mapped. */
  INSTALLED: 'installed',
  /** Mapped, and asking the gateway to keep it. */
  RENEWING: 'renewing',
  /** The mapping was lost: renewals failed or its lifetime ran out. */
  REVOKED: 'revoked',
  /** Over: stopped, or failed with `retry: 'never'`. */
  EXITED: 'exited',
});
/** Where a lease stands. */
export type LeaseState = (typeof LeaseState)[keyof typeof LeaseState];

/** What happened. */
export const EventKind = Object.freeze({
  /** The gateway granted a mapping. */
  INSTALLED: 'installed',
  /** The gateway granted the same mapping again. */
  RENEWED: 'renewed',
  /** A renewal brought another external address or port. */
  CHANGED: 'changed',
  /** An attempt to map or to renew failed; the lease goes on. */
  FAILED: 'failed',
  /** The mapping was lost. */
  REVOKED: 'revoked',
  /** The lease is over. */
  EXITED: 'exited',
  /** The machine's network changed. */
  NETWORK_CHANGED: 'network-changed',
});
/** What happened. */
export type EventKind = (typeof EventKind)[keyof typeof EventKind];

/** A protocol to ask the gateway by. */
export const Protocol = Object.freeze({
  /** Port Control Protocol (RFC 6887). */
  PCP: 'pcp',
  /** NAT Port Mapping Protocol (RFC 6886). */
  NAT_PMP: 'nat-pmp',
  /** UPnP Internet Gateway Device 1 or 2. */
  UPNP: 'upnp',
});
/** A protocol to ask the gateway by. */
export type Protocol = (typeof Protocol)[keyof typeof Protocol];

/** What made a mapping: a {@link Protocol}, or `none` where this machine has a public address of its own. */
export const MappingProtocol = Object.freeze({
  ...Protocol,
  /** This machine has a public address of its own and needs no gateway. */
  NONE: 'none',
});
/** What made a mapping: a {@link Protocol}, or `none` where this machine has a public address of its own. */
export type MappingProtocol = (typeof MappingProtocol)[keyof typeof MappingProtocol];

/** The transport protocol of a port. */
export const Transport = Object.freeze({
  /** UDP. */
  UDP: 'udp',
  /** TCP. */
  TCP: 'tcp',
});
/** The transport protocol of a port. */
export type Transport = (typeof Transport)[keyof typeof Transport];

/** Whether the port can be assumed open to the other side of the NAT. */
export const NatClass = Object.freeze({
  /** A granted, unexpired mapping is published. */
  OPEN: 'open',
  /** Nothing is known. */
  UNKNOWN: 'unknown',
});
/** Whether the port can be assumed open to the other side of the NAT. */
export type NatClass = (typeof NatClass)[keyof typeof NatClass];

/** Who can reach an external address. */
export const AddressClass = Object.freeze({
  /** The internet. */
  PUBLIC: 'public',
  /** Only the provider's own network: carrier-grade NAT (RFC 6598). */
  CGNAT: 'cgnat',
  /** Only a home network: there is a second router in front of this one (RFC 1918). */
  PRIVATE: 'private',
  /** Nobody: not an address of one host. */
  RESERVED: 'reserved',
  /** There is no address. */
  UNKNOWN: 'unknown',
});
/** Who can reach an external address. */
export type AddressClass = (typeof AddressClass)[keyof typeof AddressClass];

/** The address family of a mapping. */
export type AddressFamily = 'ipv4';

/**
 * portlease makes a local port reachable from the internet through the user's own router, and keeps it reachable:
 * PCP, NAT-PMP and UPnP behind one handle.
 *
 * @packageDocumentation
 */

export type { MapOptions, MapperOptions, RetryPolicy } from './config';
export { type ErrorCode, type ErrorReport, PortLeaseError } from './errors';
export { Lease } from './lease';
export { Mapper } from './mapper';
export {
  AddressClass,
  type AddressFamily,
  ErrorKind,
  EventKind,
  LeaseState,
  MappingProtocol,
  NatClass,
  Protocol,
  Release,
  Transport,
} from './names';
export { OpenPort, open } from './open';
export type { ChangedOptions, OpenOptions, SignalOptions, WaitOptions } from './options';
export {
  type ActiveLeaseSnapshot,
  Endpoint,
  type ExitedEvent,
  type FailedEvent,
  type GatewayReport,
  type InactiveLeaseSnapshot,
  type LeaseEventMap,
  type LeaseSnapshot,
  type MappedEvent,
  type MapperEvent,
  type MapperEventMap,
  type MapperSnapshot,
  type NetworkChangedEvent,
  type ProtocolReport,
  type RevokedEvent,
} from './snapshot';

/**
 * portlease makes a local port reachable from the internet through the user's own router, and keeps it reachable:
 * PCP, NAT-PMP and UPnP behind one handle.
 *
 * @packageDocumentation
 */

export type { MapOptions, MapperOptions, RetryPolicy } from './config';
export {
  type ErrorCode,
  type ErrorDetail,
  type ErrorReport,
  PortLeaseError,
  type PortLeaseErrorOptions,
} from './errors';
export { Lease } from './lease';
export { LOG_CHANNEL, type LogRecord } from './logs';
export { Mapper } from './mapper';
export {
  AddressClass,
  AddressFamily,
  ErrorKind,
  EventKind,
  LeaseState,
  LogLevel,
  MappingProtocol,
  NatClass,
  Protocol,
  Release,
  Transport,
} from './names';
export { externalAddress, OpenPort, open, probe } from './open';
export type {
  ChangedOptions,
  DeleteOptions,
  ExternalAddressOptions,
  FamilyOptions,
  OpenOptions,
  ProbeOptions,
  SignalOptions,
  WaitOptions,
} from './options';
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
  type TableEntry,
} from './snapshot';

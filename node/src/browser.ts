/**
 * What a browser gets: there are no sockets, so every call answers `unavailable`. Code that runs in both worlds needs
 * no other import.
 *
 * @packageDocumentation
 */

import { PortLeaseError } from './errors';

export { PortLeaseError } from './errors';
export * from './names';
export { Endpoint } from './snapshot';

function unavailable(): PortLeaseError {
  return new PortLeaseError(
    'unavailable',
    'a browser cannot map ports: portlease runs in Node, Bun, Deno and Electron',
  );
}

/** Cannot be started. */
export class Mapper {
  constructor() {
    throw unavailable();
  }

  /** Throws `unavailable`. */
  static start(): never {
    throw unavailable();
  }
}

/** Cannot be made. */
export class Lease {
  constructor() {
    throw unavailable();
  }
}

/** Cannot be made. */
export class OpenPort extends Lease {}

/** Rejects with `unavailable`. */
export async function open(): Promise<never> {
  throw unavailable();
}

/** Rejects with `unavailable`. */
export async function probe(): Promise<never> {
  throw unavailable();
}

/** Rejects with `unavailable`. */
export async function externalAddress(): Promise<never> {
  throw unavailable();
}

/** The name of the channel that has diagnostics elsewhere. */
export const LOG_CHANNEL = 'portlease:log';

import { ErrorKind } from './names';

/** A failure as snapshots and events show it. */
export interface ErrorReport {
  /** What went wrong, for programs. */
  readonly kind: ErrorKind;
  /** What went wrong, for people; nothing should match on it. */
  readonly message: string;
}

const BRAND = Symbol.for('portlease.error');

/** The `code` of a {@link PortLeaseError}, one for each kind. */
export type ErrorCode = `ERR_PORTLEASE_${Uppercase<ErrorKind>}`;

/**
 * Why a call failed. Thrown by calls that return at once, the reason of promises that are rejected.
 *
 * ```js
 * try {
 *   await lease.ready({ timeout: 5000 });
 * } catch (error) {
 *   if (error.code === 'ERR_PORTLEASE_REFUSED') console.log('the router said no:', error.message);
 * }
 * ```
 */
export class PortLeaseError extends Error {
  /** What went wrong; {@link ErrorKind} explains each. */
  readonly kind: ErrorKind;
  /** The kind as Node writes codes: `ERR_PORTLEASE_REFUSED`. */
  readonly code: ErrorCode;

  /** Makes an error; programs have no need to, their tests may. */
  constructor(kind: ErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : options);
    this.kind = kind;
    this.code = `ERR_PORTLEASE_${kind.toUpperCase()}` as ErrorCode;
  }

  static {
    const value = 'PortLeaseError';
    Object.defineProperty(PortLeaseError.prototype, 'name', { value, writable: true, configurable: true });
    Object.defineProperty(PortLeaseError.prototype, BRAND, { value: true });
    Object.defineProperty(PortLeaseError, Symbol.hasInstance, { value: isInstance });
  }
}

/** `instanceof`, also true for the error of another copy of the package: one was imported, say, and the other required. */
function isInstance(this: unknown, value: unknown): boolean {
  if (this !== PortLeaseError) return Function.prototype[Symbol.hasInstance].call(this as typeof PortLeaseError, value);
  return typeof value === 'object' && value !== null && Reflect.get(value, BRAND) === true;
}

/** The error for a bad argument: names it and says what is allowed. */
export function invalid(argument: string, message: string): PortLeaseError {
  return new PortLeaseError('invalid', `${argument}: ${message}`);
}

/** The addon's error as users see it: its code is the kind, its cause the system's error, `number` and text. */
export function fromAddon(error: unknown): PortLeaseError {
  if (error instanceof PortLeaseError) return error;
  const { code, message, cause } = error as NodeJS.ErrnoException & { cause?: Error };
  const kind = Object.values(ErrorKind).find((kind) => kind === code);
  if (kind === undefined) return new PortLeaseError('internal', message, { cause: error });
  if (!cause) return new PortLeaseError(kind, message);
  const [first = '', second] = cause.message.split('\n');
  const system: NodeJS.ErrnoException = new Error(second ?? first);
  if (second !== undefined) system.errno = -Number(first);
  return new PortLeaseError(kind, message, { cause: system });
}

/** Calls the addon and translates its error. */
export function calling<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromAddon(error);
  }
}

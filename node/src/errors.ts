import { ErrorKind, type Protocol } from './names';
import type { DetailView, ErrorView, FailedView } from './native';

/** What one protocol has answered, as a part of an error. Plain and frozen. */
export interface ErrorDetail {
  /** The protocol that was tried. */
  readonly protocol: Protocol;
  /** Why it failed. */
  readonly kind: ErrorKind;
  /** The router's number for that, if it answered with one: a result code of PCP or NAT-PMP, or a UPnP error code. */
  readonly code: number | null;
  /** The standard's name of the code, such as `NOT_AUTHORIZED` or `ConflictInMappingEntry`, if the code has one. */
  readonly name: string | null;
  /** For how long the router says that the refusal holds, in milliseconds, if it gave a time. */
  readonly retryAfter: number | null;
  /** For people; nothing should match on it. */
  readonly message: string;
}

/** A failure as snapshots and events show it. Plain and frozen. */
export interface ErrorReport {
  /** What went wrong, for programs. */
  readonly kind: ErrorKind;
  /** What went wrong, for people; nothing should match on it. */
  readonly message: string;
  /** What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked. */
  readonly details: readonly ErrorDetail[];
  /** One sentence for people about what to do now; null if there is nothing to do. */
  readonly advice: string | null;
  /** For how many milliseconds it is useless to try again, if that is known. */
  readonly retryAfter: number | null;
}

const BRAND = Symbol.for('portlease.error');

/** The `code` of a {@link PortLeaseError}, one for each kind. */
export type ErrorCode = `ERR_PORTLEASE_${Uppercase<ErrorKind>}`;

/** What an error may have beside its kind and message. */
export interface PortLeaseErrorOptions extends Partial<Pick<ErrorReport, 'details' | 'advice' | 'retryAfter'>> {
  /** What it comes from. */
  cause?: unknown;
}

/**
 * Why a call failed. Thrown by calls that return at once, the reason of promises that are rejected.
 *
 * ```js
 * try {
 *   await lease.ready({ timeout: 5000 });
 * } catch (error) {
 *   if (error.code === 'ERR_PORTLEASE_REFUSED') console.log('the router said no:', error.message, error.advice);
 *   if (error.details.some(({ name }) => name === 'NOT_AUTHORIZED')) console.log('PCP is locked');
 * }
 * ```
 */
export class PortLeaseError extends Error {
  /** What went wrong; {@link ErrorKind} explains each. */
  readonly kind: ErrorKind;
  /** The kind as Node writes codes: `ERR_PORTLEASE_REFUSED`. */
  readonly code: ErrorCode;

  /** What each protocol that was tried has answered, in the order of preference; empty if no protocol was asked. */
  readonly details: readonly ErrorDetail[];
  /** One sentence for people about what to do now; null if there is nothing to do. */
  readonly advice: string | null;
  /** For how many milliseconds it is useless to try again, if that is known. */
  readonly retryAfter: number | null;

  /** Makes an error; programs have no need to, their tests may. */
  constructor(kind: ErrorKind, message: string, options: PortLeaseErrorOptions = {}) {
    const { cause, details = [], advice = null, retryAfter = null } = options;
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
    this.code = `ERR_PORTLEASE_${kind.toUpperCase()}` as ErrorCode;
    this.details = details;
    this.advice = advice;
    this.retryAfter = retryAfter;
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

function detail({ protocol, kind, code, name, retryAfter, message }: DetailView): ErrorDetail {
  return Object.freeze({
    protocol: protocol as Protocol,
    kind: kind as ErrorKind,
    code: code ?? null,
    name: name ?? null,
    retryAfter: retryAfter ?? null,
    message,
  });
}

/** A failure for a snapshot or an event. */
export function report(view: ErrorView | undefined): ErrorReport | null {
  if (!view) return null;
  const { kind, message, details, advice, retryAfter } = view;
  return Object.freeze({
    kind: kind as ErrorKind,
    message,
    details: Object.freeze(details.map(detail)),
    advice: advice ?? null,
    retryAfter: retryAfter ?? null,
  });
}

function systemError(message: string, number: number | undefined): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(message);
  if (number !== undefined) error.errno = -number;
  return error;
}

/** The error with which a wait has ended. */
export function failed({ failed, cause }: FailedView): PortLeaseError {
  const { kind, message, ...rest } = report(failed) as ErrorReport;
  return new PortLeaseError(kind, message, { ...rest, cause: cause && systemError(cause.message, cause.number) });
}

/** The error of a call that returns at once: its code is the kind, its cause the system's error, `number` and text. */
function fromAddon(error: unknown): PortLeaseError {
  if (error instanceof PortLeaseError) return error;
  const { code, message, cause } = error as NodeJS.ErrnoException & { cause?: Error };
  const kind = Object.values(ErrorKind).find((kind) => kind === code);
  if (kind === undefined) return new PortLeaseError('internal', message, { cause: error });
  if (!cause) return new PortLeaseError(kind, message);
  const [first = '', second] = cause.message.split('\n');
  const system = second === undefined ? systemError(first, undefined) : systemError(second, Number(first));
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

/** Pending calls of the addon, in this thread's event loop. */

import { type Addon, addon } from './addon';
import { calling, failed as failure, type PortLeaseError } from './errors';
import { Logs } from './logs';
import type { FailedView, Host } from './native';
import { setInterval } from './timers';
import { VERSION } from './version';

type Outcome = NonNullable<ReturnType<Host['take']>>;
/** What a call that went well is answered with. */
export type Answer = Exclude<Outcome, FailedView>;

/** Begins a call of the addon that waits, under this number. */
type Begin = (token: number) => void;

/** How long the end of the process waits for the gateways. */
const EXIT_TIMEOUT = 2000;
/** The longest that a timer of Node's can be. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** What a thread has once, however many copies of this module are loaded in it. */
interface Runtime {
  /** The addon's part of this thread. Its bell rings in the event loop, but does not keep it alive. */
  readonly host: Host;
  /** What to do with the outcome of each pending call, by its number. */
  readonly waiting: Map<number, () => void>;
  /** A timer that does nothing keeps the loop alive as long as anybody holds it. */
  readonly keeper: NodeJS.Timeout;
  readonly logs: Logs;
  lastToken: number;
  holders: number;
}

// At the addon's exports: module caches that are emptied (test runners, hot reloading) keep those, and both builds of
// the package, CommonJS and ES modules, find the same. So there is one listener for the end of the process.
const RUNTIME = Symbol.for(`portlease ${VERSION}`);

function runtime(): Runtime {
  const exports = addon() as Addon & { [RUNTIME]?: Runtime };
  exports[RUNTIME] ??= started(exports);
  return exports[RUNTIME];
}

function started(addon: Addon): Runtime {
  const waiting = new Map<number, () => void>();
  const host: Host = new addon.Host(() => {
    for (let token = host.next(); token !== null; token = host.next()) {
      const settle = waiting.get(token);
      waiting.delete(token);
      settle?.();
    }
  });
  // When the event loop has ended, at process.exit() and after an uncaught exception; in a worker for the worker.
  const logs = new Logs();
  const end = (): void => {
    host.stopAll(EXIT_TIMEOUT);
    logs.drain();
  };
  process.once('exit', end);
  // `Deno.exit` tells only this one.
  if ('Deno' in globalThis) (globalThis as unknown as EventTarget).addEventListener('unload', end);
  const keeper = setInterval(() => {}, LONGEST_TIMER).unref();
  return { host, waiting, keeper, logs, lastToken: 0, holders: 0 };
}

/** What mappers are started with. */
export function host(): Host {
  const { host, logs } = runtime();
  logs.attend();
  return host;
}

/** Begins a wait and calls back when it is over, never before this returns. The answer cancels it. Keeps nothing alive. */
export function watch(
  begin: Begin,
  done: (answer: Answer) => void,
  failed: (error: PortLeaseError) => void,
): () => void {
  const all = runtime();
  const { host, waiting } = all;
  const token = ++all.lastToken;
  calling(() => begin(token));
  waiting.set(token, () => {
    const outcome = host.take() as Outcome;
    if (typeof outcome === 'object' && 'failed' in outcome) failed(failure(outcome));
    else done(outcome);
  });
  return () => {
    if (waiting.delete(token)) host.cancel(token);
  };
}

/** Keeps the event loop alive until the answer is called. */
export function hold(): () => void {
  const all = runtime();
  if (all.holders++ === 0) all.keeper.ref();
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    if (--all.holders === 0) all.keeper.unref();
  };
}

export function ignore(): void {}

interface Aborting {
  readonly calls: Set<(reason: unknown) => void>;
  readonly listener: () => void;
}

const aborting = new WeakMap<AbortSignal, Aborting>();

function reasonOf(signal: AbortSignal): unknown {
  return signal.reason === undefined ? new DOMException('This operation was aborted', 'AbortError') : signal.reason;
}

/** Throws the reason of a signal that is aborted. Its own method does the same, but polyfills have neither. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw reasonOf(signal);
}

/**
 * Calls once when `signal` is aborted; the answer takes that back. However many waits there are, the signal has one
 * listener: Node warns of a leak if there are more than ten.
 */
function onAbort(signal: AbortSignal | undefined, call: (reason: unknown) => void): () => void {
  if (!signal) return ignore;
  const one = aborting.get(signal) ?? listen(signal);
  one.calls.add(call);
  return () => {
    if (!one.calls.delete(call) || one.calls.size > 0) return;
    aborting.delete(signal);
    signal.removeEventListener('abort', one.listener);
  };
}

function listen(signal: AbortSignal): Aborting {
  const calls: Aborting['calls'] = new Set();
  const listener = (): void => {
    const reason = reasonOf(signal);
    for (const call of calls) call(reason);
  };
  signal.addEventListener('abort', listener, { once: true });
  const one = { calls, listener };
  aborting.set(signal, one);
  return one;
}

/** Gives an error from the event loop the stack of the call, since its own says nothing useful. */
function calledAt(here: Error, error: PortLeaseError): PortLeaseError {
  error.stack = `${error.name}: ${error.message}\n${here.stack?.split('\n').slice(1).join('\n')}`;
  return error;
}

/**
 * A promise for a wait, which keeps the event loop alive. `signal` ends the wait, and so does `left`, the caller's own.
 * If either was aborted before, the wait does not begin.
 */
export function promised<A extends Answer, T>(
  begin: Begin,
  signal: AbortSignal | undefined,
  convert: (answer: A) => T,
  left?: AbortSignal,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const signals = [left, signal];
    for (const one of signals) throwIfAborted(one);
    const here = new Error();
    const cancel = watch(
      begin,
      (answer) => {
        end();
        resolve(convert(answer as A));
      },
      (error) => {
        end();
        reject(calledAt(here, error));
      },
    );
    const release = hold();
    const ignoreSignals = signals.map((one) =>
      onAbort(one, (reason) => {
        cancel();
        end();
        reject(reason);
      }),
    );
    const end = (): void => {
      release();
      for (const ignoreSignal of ignoreSignals) ignoreSignal();
    };
  });
}

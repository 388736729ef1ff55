/** Pending calls of the addon, in this thread's event loop. */

import { setInterval } from 'node:timers';
import { addon } from './addon';
import { calling, fromAddon, type PortLeaseError } from './errors';
import type { EventView, LeaseView, ReportView, Wait } from './native';

type Answer = boolean | LeaseView | EventView | ReportView;

interface Watched {
  readonly wait: Wait;
  readonly done: (answer: Answer) => void;
  readonly failed: (error: PortLeaseError) => void;
}

/** The longest that a timer of Node's can be. */
export const LONGEST_TIMER = 2 ** 31 - 1;
/** How long the end of the process waits for the gateways. */
const EXIT_TIMEOUT = 2000;

const watched = new Map<number, Watched>();

/** The addon's part of this thread. Its bell rings in the event loop, but does not keep it alive. */
export const host = new addon.Host(look);

function look(id: number): void {
  const one = watched.get(id);
  if (one) poll(one);
}

function poll({ wait, done, failed }: Watched): void {
  let answer: Answer | null;
  try {
    answer = wait.poll();
  } catch (error) {
    watched.delete(wait.id);
    failed(fromAddon(error));
    return;
  }
  if (answer === null) return;
  watched.delete(wait.id);
  done(answer);
}

/** Follows a wait to its end, which may be at once. The answer cancels it. Keeps nothing alive. */
export function watch(wait: Wait, done: (answer: Answer) => void, failed: (error: PortLeaseError) => void): () => void {
  const one = { wait, done, failed };
  watched.set(wait.id, one);
  poll(one);
  return () => {
    if (watched.delete(wait.id)) wait.cancel();
  };
}

// A timer that does nothing keeps the loop alive as long as anybody holds it.
const keeper = setInterval(() => {}, LONGEST_TIMER).unref();
let holders = 0;

/** Keeps the event loop alive until the answer is called. */
export function hold(): () => void {
  if (holders++ === 0) keeper.ref();
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    if (--holders === 0) keeper.unref();
  };
}

function ignore(): void {}

interface Aborting {
  readonly calls: Set<() => void>;
  readonly listener: () => void;
}

const aborting = new WeakMap<AbortSignal, Aborting>();

/**
 * Calls once when `signal` is aborted; the answer takes that back. However many waits there are, the signal has one
 * listener: Node warns of a leak where there are more than ten.
 */
export function onAbort(signal: AbortSignal | undefined, call: () => void): () => void {
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
  const calls = new Set<() => void>();
  const listener = (): void => {
    for (const call of calls) call();
  };
  signal.addEventListener('abort', listener, { once: true });
  const one = { calls, listener };
  aborting.set(signal, one);
  return one;
}

/** Lets the stack of an error from the event loop, which tells nobody anything, lead to where the call was made. */
export function calledAt(here: Error, error: PortLeaseError): PortLeaseError {
  error.stack = `${error.name}: ${error.message}\n${here.stack?.split('\n').slice(1).join('\n')}`;
  return error;
}

/**
 * A promise for a wait, which keeps the event loop alive and which `signal` ends. Where the signal was aborted before,
 * the wait is not begun, unless `inAnyCase`.
 */
export function promised<A extends Answer, T>(
  start: () => Wait,
  signal: AbortSignal | undefined,
  convert: (answer: A) => T,
  inAnyCase = false,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      if (inAnyCase) watch(calling(start), ignore, ignore);
      reject(signal.reason);
      return;
    }
    const wait = calling(start);
    const release = hold();
    const here = new Error();
    const end = (): void => {
      release();
      ignoreSignal();
    };
    const ignoreSignal = onAbort(signal, () => {
      cancel();
      end();
      reject(signal?.reason);
    });
    const cancel = watch(
      wait,
      (answer) => {
        end();
        resolve(convert(answer as A));
      },
      (error) => {
        end();
        reject(calledAt(here, error));
      },
    );
  });
}

// Runs where the event loop has ended, at process.exit() and after an uncaught exception; in a worker for the worker.
process.once('exit', () => {
  host.stopAll(EXIT_TIMEOUT);
});

/**
 * Timers and clocks as they are when the package is loaded: a test that replaces them later (Jest, Vitest, Sinon) must
 * not stop what portlease waits for.
 */

import { performance } from 'node:perf_hooks';
import * as timers from 'node:timers';

export const setInterval = timers.setInterval;
export const setTimeout = timers.setTimeout;
export const queueMicrotask = globalThis.queueMicrotask;
export const nextTick = process.nextTick.bind(process);
/** Milliseconds since the start of the process. */
export const now = performance.now.bind(performance);

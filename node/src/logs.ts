/** Diagnostics: for subscribers of a channel, and for people who set `NODE_DEBUG=portlease`. */

import { channel } from 'node:diagnostics_channel';
import { debuglog } from 'node:util';
import { addon } from './addon';
import type { LogLevel } from './names';
import type { LogHandle, LogView } from './native';

/** One thing that portlease tells. Plain and frozen. */
export interface LogRecord {
  /** How much it matters. */
  readonly level: LogLevel;
  /** The part of portlease that tells it, such as `portlease::client::pcp`. */
  readonly target: string;
  /** What happened, followed by ` name=value` for each detail. */
  readonly message: string;
  /** When, in milliseconds since 1970, as `Date.now()` counts. */
  readonly time: number;
  /** How many records were lost just before this one because nobody took them in time. */
  readonly dropped: number;
}

/** The channel's name. */
export const LOG_CHANNEL = 'portlease:log';
/** How deep: each exchange with the router. */
const LEVEL = 'debug';

const records = channel(LOG_CHANNEL);
const debug = debuglog('portlease');

function told({ level, target, message, time, dropped }: LogView): void {
  const lost = dropped > 0 ? ` (${dropped} records lost before)` : '';
  debug('%s %s %s: %s%s', new Date(time).toISOString(), level, target, message, lost);
  records.publish(Object.freeze({ level, target, message, time, dropped }));
}

/** Reads what the process tells as long as somebody listens. */
export class Logs {
  #handle: LogHandle | undefined;

  /** Begins if somebody listens now. Called before each start of an engine, which is the first that has something to tell. */
  attend(): void {
    if (this.#handle || !this.#heard()) return;
    this.#handle = addon().LogHandle.listen(LEVEL, () => this.drain());
  }

  /** Gives out what was told up to now, and ends the reading if nobody listens any more. */
  drain(): void {
    for (let record = this.#handle?.next(); record; record = this.#handle?.next()) told(record);
    if (this.#heard()) return;
    this.#handle?.close();
    this.#handle = undefined;
  }

  #heard(): boolean {
    return records.hasSubscribers || debug.enabled;
  }
}

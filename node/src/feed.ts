import { calling, PortLeaseError } from './errors';
import type { EventsHandle, EventView } from './native';
import { fromEventView, type MapperEvent } from './snapshot';
import { nextTick, queueMicrotask } from './timers';
import { ignore, promised, watch } from './waiting';

/** Runs a listener's code. What it throws is uncaught, as in any emitter, and does not keep events from others. */
export function apart(call: () => void): void {
  try {
    call();
  } catch (error) {
    nextTick(() => {
      throw error;
    });
  }
}

/** Gives the events of a reader to `take`, until it is left or the mapper is stopped. Keeps nothing alive. */
export class Feed {
  readonly #reader: EventsHandle;
  readonly #take: (event: MapperEvent) => void;
  #left = false;
  /** Cancels the wait that is under way. */
  #cancel: (() => void) | undefined;

  constructor(reader: EventsHandle, take: (event: MapperEvent) => void) {
    this.#reader = reader;
    this.#take = take;
    this.#pull();
  }

  #pull(): void {
    if (this.#left || this.#cancel) return;
    this.#cancel = watch(
      (token) => this.#reader.next(token),
      (answer) => {
        this.#cancel = undefined;
        // Those who waited for this event have their turn before the next one comes.
        queueMicrotask(() => this.#pull());
        this.#take(fromEventView(answer as EventView));
      },
      ignore,
    );
  }

  /** Gives what has happened up to now, without a wait. */
  drain(): void {
    // An event that the wait has found and not given yet goes back to the reader.
    this.#cancel?.();
    this.#cancel = undefined;
    while (!this.#left) {
      const view = calling(() => this.#reader.tryNext());
      if (!view) break;
      this.#take(fromEventView(view));
    }
    this.#pull();
  }

  leave(): void {
    this.#left = true;
    this.#cancel?.();
  }
}

type Result<E> = IteratorResult<E, undefined>;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Which events a loop is about. */
export interface Choice {
  /** The number of their lease. */
  readonly lease: number;
  /** Whether the lease had exited before: then nothing more comes. */
  readonly exited: boolean;
}

/** The events for one `for await`. It is over when the mapper is stopped or the chosen lease has exited, left, or aborted. */
export class EventIterator<E extends MapperEvent> implements AsyncIterableIterator<E> {
  readonly #reader: EventsHandle;
  readonly #signal: AbortSignal | undefined;
  readonly #choice: Choice | undefined;
  readonly #left = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(reader: EventsHandle, signal: AbortSignal | undefined, choice?: Choice) {
    this.#reader = reader;
    this.#signal = signal;
    this.#choice = choice;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result<E>> {
    // One after the other, so that the events come in their order.
    const turn = this.#turn.then(() => this.#pull());
    this.#turn = turn.catch(ignore);
    return turn;
  }

  return(): Promise<Result<E>> {
    this.#left.abort();
    return Promise.resolve(DONE);
  }

  async #pull(): Promise<Result<E>> {
    const { signal: left } = this.#left;
    try {
      for (;;) {
        left.throwIfAborted();
        const value = await this.#event();
        if (!value) return this.return();
        if (this.#choice && value.lease !== this.#choice.lease) continue;
        if (this.#choice && value.kind === 'exited') this.#left.abort();
        return { done: false, value: value as E };
      }
    } catch (error) {
      if (left.aborted) return DONE;
      this.#left.abort();
      if (error instanceof PortLeaseError && error.kind === 'stopped') return DONE;
      throw error;
    }
  }

  async #event(): Promise<MapperEvent | undefined> {
    if (this.#choice?.exited) {
      const view = calling(() => this.#reader.tryNext());
      return view ? fromEventView(view) : undefined;
    }
    return promised((token) => this.#reader.next(token), this.#signal, fromEventView, this.#left.signal);
  }
}

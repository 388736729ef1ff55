import { PortLeaseError } from './errors';
import type { EventsHandle, EventView } from './native';
import { fromEventView, type MapperEvent } from './snapshot';
import { ignore, promised, watch } from './waiting';

/** Runs a listener's code. What it throws is uncaught, as in any emitter, and does not keep events from others. */
function apart(call: () => void): void {
  try {
    call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/** Gives the events of a reader to `take`, until the answer is called or the mapper is stopped. Keeps nothing alive. */
export function follow(reader: EventsHandle, take: (event: MapperEvent) => void): () => void {
  let left = false;
  let cancel = ignore;
  const pull = (): void => {
    if (left) return;
    cancel = watch(
      (token) => reader.next(token),
      (answer) => {
        // Those who waited for this event have their turn before the next one comes.
        queueMicrotask(pull);
        apart(() => take(fromEventView(answer as EventView)));
      },
      ignore,
    );
  };
  pull();
  return () => {
    left = true;
    cancel();
  };
}

type Result = IteratorResult<MapperEvent, undefined>;

const DONE: Result = { done: true, value: undefined };

/** The events for one `for await`. It is over when the mapper is stopped, left, or aborted. */
export class EventIterator implements AsyncIterableIterator<MapperEvent> {
  readonly #reader: EventsHandle;
  readonly #signal: AbortSignal | undefined;
  readonly #left = new AbortController();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(reader: EventsHandle, signal: AbortSignal | undefined) {
    this.#reader = reader;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    // One after the other, so that the events come in their order.
    const turn = this.#turn.then(() => this.#pull());
    this.#turn = turn.catch(ignore);
    return turn;
  }

  return(): Promise<Result> {
    this.#left.abort();
    return Promise.resolve(DONE);
  }

  async #pull(): Promise<Result> {
    const { signal: left } = this.#left;
    try {
      const value = await promised((token) => this.#reader.next(token), this.#signal, fromEventView, left);
      return { done: false, value };
    } catch (error) {
      if (left.aborted) return DONE;
      this.#left.abort();
      if (error instanceof PortLeaseError && error.kind === 'stopped') return DONE;
      throw error;
    }
  }
}

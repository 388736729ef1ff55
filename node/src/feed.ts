import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import { PortLeaseError } from './errors';
import type { EventView, MapperHandle } from './native';
import { fromEventView, type MapperEvent } from './snapshot';
import { calledAt, hold, LONGEST_TIMER, onAbort, watch } from './waiting';

/** Who takes the events of a mapper. */
interface Consumer {
  event(event: MapperEvent): void;
  /** No event comes any more: the mapper is stopped. */
  end(error: PortLeaseError): void;
}

/** How many events wait for an iterator before the oldest is dropped; as many as wait in the core. */
const ITERATOR_QUEUE = 1024;

/** An error of somebody else's code must not stop the others, nor be lost: it is uncaught, as in any emitter. */
function apart(call: () => void): void {
  try {
    call();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}

/**
 * Pulls the events of one mapper as long as anybody takes them, and gives each event to all. While nobody does, they
 * wait in the core.
 */
export class Feed {
  readonly #mapper: MapperHandle;
  readonly #consumers = new Set<Consumer>();
  /** Taken from the core, and by nobody yet. */
  readonly #kept: MapperEvent[] = [];
  #cancel: (() => void) | undefined;
  #scheduled = false;

  constructor(mapper: MapperHandle) {
    this.#mapper = mapper;
  }

  /** Adds a consumer; the answer removes it. */
  subscribe(consumer: Consumer): () => void {
    this.#consumers.add(consumer);
    this.#schedule(queueMicrotask);
    return () => {
      this.#consumers.delete(consumer);
      if (this.#consumers.size > 0) return;
      this.#cancel?.();
      this.#cancel = undefined;
    };
  }

  /** Keeps what a consumer that has left did not read for the next one; whoever is still there has had it. */
  putBack(events: MapperEvent[]): void {
    if (this.#consumers.size === 0) this.#kept.unshift(...events);
  }

  /**
   * Not at once: an event never comes before the call has returned that asks for it, nor before those who waited for
   * the last one have had their turn.
   */
  #schedule(later: (pull: () => void) => unknown): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    later(() => {
      this.#scheduled = false;
      if (!this.#cancel && this.#consumers.size > 0) this.#pull();
    });
  }

  #give(event: MapperEvent): void {
    this.#schedule(setImmediate);
    for (const consumer of [...this.#consumers]) apart(() => consumer.event(event));
  }

  #pull(): void {
    const kept = this.#kept.shift();
    if (kept) {
      this.#give(kept);
      return;
    }
    let over = false;
    const ended = (): void => {
      over = true;
      this.#cancel = undefined;
    };
    const cancel = watch(
      this.#mapper.nextEvent(),
      (answer) => {
        ended();
        this.#give(fromEventView(answer as EventView));
      },
      (error) => {
        ended();
        const consumers = [...this.#consumers];
        this.#consumers.clear();
        for (const consumer of consumers) apart(() => consumer.end(error));
      },
    );
    if (!over) this.#cancel = cancel;
  }

  /** The next event. */
  next(timeout: number | undefined, signal: AbortSignal | undefined): Promise<MapperEvent> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const release = hold();
      const here = new Error();
      const finish = (): void => {
        clearTimeout(timer);
        ignoreSignal();
        unsubscribe();
        release();
      };
      const ignoreSignal = onAbort(signal, () => {
        finish();
        reject(signal?.reason);
      });
      const unsubscribe = this.subscribe({
        event: (event) => {
          finish();
          resolve(event);
        },
        end: ({ kind, message, cause }) => {
          finish();
          // A copy: each who waits has a stack of its own.
          reject(calledAt(here, new PortLeaseError(kind, message, { cause })));
        },
      });
      const late = (): void => {
        finish();
        reject(calledAt(here, new PortLeaseError('timeout', `no event within ${timeout} ms`)));
      };
      // A wait of more than 24 days is one without a limit.
      const timer = timeout === undefined || timeout > LONGEST_TIMER ? undefined : setTimeout(late, timeout);
    });
  }

  /** All events from the first call of `next` on, until the mapper is stopped. */
  iterate(signal: AbortSignal | undefined): AsyncIterableIterator<MapperEvent> {
    return new EventIterator(this, signal);
  }
}

type Result = IteratorResult<MapperEvent, undefined>;

interface Waiter {
  resolve(result: Result): void;
  reject(reason: unknown): void;
}

const DONE: Result = { done: true, value: undefined };

/** The events for one `for await`. It is over when the mapper is stopped, left, or aborted. */
class EventIterator implements AsyncIterableIterator<MapperEvent> {
  readonly #feed: Feed;
  readonly #signal: AbortSignal | undefined;
  readonly #queue: MapperEvent[] = [];
  readonly #waiters: Waiter[] = [];
  #dropped = 0;
  #unsubscribe: (() => void) | undefined;
  #ignoreSignal: (() => void) | undefined;
  #release: (() => void) | undefined;
  #over = false;

  constructor(feed: Feed, signal: AbortSignal | undefined) {
    this.#feed = feed;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (!this.#over) this.#begin();
      const event = this.#queue.shift();
      if (event) {
        resolve({ done: false, value: this.#withDropped(event) });
      } else if (this.#over) {
        resolve(DONE);
      } else {
        this.#waiters.push({ resolve, reject });
        this.#release ??= hold();
      }
    });
  }

  return(): Promise<Result> {
    this.#end((waiter) => waiter.resolve(DONE));
    this.#putBack();
    return Promise.resolve(DONE);
  }

  #begin(): void {
    if (this.#unsubscribe) return;
    if (this.#signal?.aborted) {
      this.#over = true;
      throw this.#signal.reason;
    }
    this.#ignoreSignal = onAbort(this.#signal, () => this.#abort());
    this.#unsubscribe = this.#feed.subscribe({
      event: (event) => this.#take(event),
      end: (error) => this.#end((waiter) => (error.kind === 'stopped' ? waiter.resolve(DONE) : waiter.reject(error))),
    });
  }

  #abort(): void {
    const untold = this.#waiters.length === 0;
    this.#end((waiter) => waiter.reject(this.#signal?.reason));
    this.#putBack();
    if (!untold) return;
    // Nobody waits just now: whoever asks next begins anew, and is told.
    this.#unsubscribe = undefined;
    this.#over = false;
  }

  #putBack(): void {
    const [first, ...others] = this.#queue.splice(0);
    if (first) this.#feed.putBack([this.#withDropped(first), ...others]);
  }

  #take(event: MapperEvent): void {
    const waiter = this.#waiters.shift();
    if (waiter) {
      if (this.#waiters.length === 0) this.#letGo();
      waiter.resolve({ done: false, value: event });
    } else if (this.#queue.push(event) > ITERATOR_QUEUE) {
      this.#dropped += 1 + (this.#queue.shift()?.dropped ?? 0);
    }
  }

  /** The event, with what this iterator dropped before it. */
  #withDropped(event: MapperEvent): MapperEvent {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped === 0 ? event : Object.freeze({ ...event, dropped: event.dropped + dropped });
  }

  #letGo(): void {
    this.#release?.();
    this.#release = undefined;
  }

  #end(settle: (waiter: Waiter) => void): void {
    this.#over = true;
    this.#letGo();
    this.#unsubscribe?.();
    this.#ignoreSignal?.();
    for (const waiter of this.#waiters.splice(0)) settle(waiter);
  }
}

import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import { PortLeaseError } from './errors';
import type { EventView, MapperHandle } from './native';
import { fromEventView, type MapperEvent } from './snapshot';
import { hold, LONGEST_TIMER, watch } from './waiting';

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

  #pull(): void {
    let over = false;
    const ended = (): void => {
      over = true;
      this.#cancel = undefined;
    };
    const cancel = watch(
      this.#mapper.nextEvent(),
      (answer) => {
        ended();
        this.#schedule(setImmediate);
        const event = fromEventView(answer as EventView);
        for (const consumer of [...this.#consumers]) apart(() => consumer.event(event));
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
      const finish = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        unsubscribe();
        release();
      };
      const abort = (): void => {
        finish();
        reject(signal?.reason);
      };
      const unsubscribe = this.subscribe({
        event: (event) => {
          finish();
          resolve(event);
        },
        end: (error) => {
          finish();
          reject(error);
        },
      });
      const late = (): void => {
        finish();
        reject(new PortLeaseError('timeout', `no event within ${timeout} ms`));
      };
      const timer = timeout === undefined ? undefined : setTimeout(late, Math.min(timeout, LONGEST_TIMER));
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  /** All events from the first call of `next` on, until the mapper is stopped. */
  iterate(signal: AbortSignal | undefined): AsyncIterableIterator<MapperEvent, undefined> {
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
class EventIterator implements AsyncIterableIterator<MapperEvent, undefined> {
  readonly #feed: Feed;
  readonly #signal: AbortSignal | undefined;
  readonly #queue: MapperEvent[] = [];
  readonly #waiters: Waiter[] = [];
  #dropped = 0;
  #unsubscribe: (() => void) | undefined;
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
    this.#queue.length = 0;
    this.#end((waiter) => waiter.resolve(DONE));
    return Promise.resolve(DONE);
  }

  #begin(): void {
    if (this.#unsubscribe) return;
    if (this.#signal?.aborted) {
      this.#over = true;
      throw this.#signal.reason;
    }
    this.#signal?.addEventListener('abort', this.#abort, { once: true });
    this.#unsubscribe = this.#feed.subscribe({
      event: (event) => this.#take(event),
      end: (error) => this.#end((waiter) => (error.kind === 'stopped' ? waiter.resolve(DONE) : waiter.reject(error))),
    });
  }

  readonly #abort = (): void => {
    const failed = this.#waiters.length === 0;
    this.#queue.length = 0;
    this.#end((waiter) => waiter.reject(this.#signal?.reason));
    // Nobody waits just now: whoever asks next is told.
    if (failed) this.#unsubscribe = undefined;
    if (failed) this.#over = false;
  };

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
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const waiter of this.#waiters.splice(0)) settle(waiter);
  }
}

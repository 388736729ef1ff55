import type { Mapper } from './mapper';
import type { LeaseHandle, LeaseView } from './native';
import { limits, type SignalOptions, signalOf, type WaitOptions } from './options';
import {
  type ActiveLeaseSnapshot,
  fromLeaseView,
  type LeaseSnapshot,
  leaseSnapshot,
  NUMBERS,
  type SnapshotTexts,
  texts,
} from './snapshot';
import { promised } from './waiting';

const NO_TEXTS: SnapshotTexts = { external: null, lastError: null };
// One for all leases: it is filled and read within one call.
const numbers = new Float64Array(NUMBERS);

/** Tells a mapper that a lease is to end. */
export const forget = Symbol('forget');

/**
 * The promise to keep one port mapped, until {@link stop} or until its mapper is stopped; made by {@link Mapper.map}.
 */
export class Lease {
  /** The mapper that serves it. */
  readonly mapper: Mapper;
  readonly #handle: LeaseHandle;
  #texts = NO_TEXTS;
  #version = 0;

  /** @internal */
  constructor(mapper: Mapper, handle: LeaseHandle) {
    this.mapper = mapper;
    this.#handle = handle;
  }

  /** The lease's number within its mapper, from 1, as events name it. */
  get id(): number {
    return this.#handle.id;
  }

  /**
   * Waits for a mapping and answers with the snapshot that has it.
   *
   * Rejects with the kind of the latest whole attempt if that failed (the lease goes on trying unless
   * `retry: 'never'`); each failed attempt is raised once, so that the next call waits for the next attempt. Rejects
   * with `timeout` if no attempt has ended within `timeout` milliseconds (default: no limit), with the reason of
   * `signal` at once when that is aborted, and once the lease is over with the kind that ended it, or `stopped`.
   */
  async ready(options?: WaitOptions): Promise<ActiveLeaseSnapshot> {
    const { timeout, signal } = limits(options);
    return promised(
      () => this.#handle.ready(timeout),
      signal,
      (view: LeaseView) => fromLeaseView(view) as ActiveLeaseSnapshot,
    );
  }

  /** The present state: plain, frozen, without any waiting. Never fails. */
  snapshot(): LeaseSnapshot {
    const version = this.#handle.read(numbers);
    if (version !== this.#version) {
      this.#texts = texts(this.#handle.texts());
      this.#version = version;
    }
    return leaseSnapshot(numbers, this.#texts);
  }

  /**
   * Releases the mapping on the gateway and ends the lease; waits for that, at most for `timeout` milliseconds
   * (default 5000), after which the release goes on in the background: then the answer is `false`. May be called
   * again; never fails for a gateway that is gone. The release begins also where `signal` was aborted before.
   */
  async stop(options?: WaitOptions): Promise<boolean> {
    const { timeout, signal } = limits(options);
    this.mapper[forget](this);
    return promised(
      () => this.#handle.stop(timeout),
      signal,
      (over: boolean) => over,
      true,
    );
  }

  /**
   * Ends the lease and leaves the mapping on the gateway until its lifetime ends; one that is
   * {@link ActiveLeaseSnapshot.permanent} stays until somebody deletes it.
   */
  async detach(options?: SignalOptions): Promise<void> {
    const signal = signalOf(options);
    this.mapper[forget](this);
    return promised(
      () => this.#handle.detach(),
      signal,
      () => {},
      true,
    );
  }

  /** {@link stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

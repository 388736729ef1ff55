import { addon } from './addon';
import { calling } from './errors';
import { checkMade, keep, made } from './internal';
import { Lease } from './lease';
import { Mapper } from './mapper';
import type { Release } from './names';
import type { PortHandle } from './native';
import {
  addressing,
  type ExternalAddressOptions,
  type OpenOptions,
  opening,
  type ProbeOptions,
  probing,
  type SignalOptions,
  signalOf,
  type WaitOptions,
} from './options';
import type { GatewayReport } from './snapshot';
import { host, ignore, throwIfAborted } from './waiting';

/** A lease together with the mapper that serves it alone; made by {@link open}. Both end together. */
export class OpenPort extends Lease {
  readonly #port: PortHandle;

  private constructor(key: symbol, mapper: Mapper, port: PortHandle) {
    checkMade(key, 'OpenPort', 'open()');
    super(key, mapper, port.lease());
    this.#port = port;
  }

  /** @internal */
  static override [made](mapper: Mapper, port: never): OpenPort {
    return new OpenPort(made, mapper, port as PortHandle);
  }

  override get [Symbol.toStringTag](): string {
    return 'OpenPort';
  }

  /** Releases the mapping and ends the mapper; as {@link Mapper.stop}. */
  override stop(options?: WaitOptions | AbortSignal): Promise<Release> {
    return this.mapper.stop(options);
  }

  /** Leaves the mapping on the gateway, as {@link Lease.detach} does, and ends the mapper. */
  override async detach(options?: SignalOptions | AbortSignal): Promise<Release> {
    const signal = signalOf(options);
    this.#port.beginDetach();
    return this.mapper.stop({ signal });
  }
}

/**
 * Maps one port and waits for the mapping: start, map and ready in one line. Stopping the result stops its mapper.
 *
 * ```js
 * const port = await open(9001);
 * console.log(`external address: ${port.external}`);
 * await port.stop();
 * ```
 *
 * The options are those of {@link Mapper.start}, {@link Mapper.map} and {@link Lease.ready} together. Rejects as they
 * fail; then nothing is left behind.
 */
export async function open(port: number, options?: OpenOptions | AbortSignal): Promise<OpenPort> {
  const { settings, request, limits } = opening(port, options);
  throwIfAborted(limits.signal);
  const handle = calling(() => addon().PortHandle.begin(host(), settings, request));
  const mapper = Mapper[made](handle.mapper());
  const opened = mapper[keep](OpenPort[made](mapper, handle as never));
  try {
    await opened.ready(limits);
    return opened;
  } catch (error) {
    // The caller learns of the failure at once; the release goes on in the background, or at the process's end.
    mapper.stop().catch(ignore);
    throw error;
  }
}

/** Starts a mapper, asks it and ends it, in the background. */
async function ask<T>(settings: object, question: (mapper: Mapper) => Promise<T>): Promise<T> {
  const mapper = Mapper[made](calling(() => addon().MapperHandle.start(host(), settings)));
  try {
    return await question(mapper);
  } finally {
    mapper.stop().catch(ignore);
  }
}

/**
 * Asks the gateway what it offers by each protocol, with an engine of its own; maps nothing.
 *
 * The options are those of {@link Mapper.start} and {@link Mapper.probe} together. Rejects as they fail.
 */
export async function probe(options?: ProbeOptions | AbortSignal): Promise<GatewayReport> {
  const { settings, limits } = probing(options);
  return ask(settings, (mapper) => mapper.probe(limits));
}

/**
 * The address at which the internet sees this machine, asked with an engine of its own.
 *
 * The options are those of {@link Mapper.start} and {@link Mapper.externalAddress} together. Rejects as they fail.
 */
export async function externalAddress(options?: ExternalAddressOptions | AbortSignal): Promise<string> {
  const { settings, limits } = addressing(options);
  return ask(settings, (mapper) => mapper.externalAddress(limits));
}

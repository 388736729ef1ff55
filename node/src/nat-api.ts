/**
 * The class of `@silentbot1/nat-api`, on portlease: change the import, and routers with PCP are served too, leases are
 * renewed by what the router granted, and nothing is left behind.
 *
 * @packageDocumentation
 */

import type { MapOptions } from './config';
import type { Lease } from './lease';
import { Mapper } from './mapper';
import { type Protocol, Release, type Transport } from './names';
import { nextTick } from './timers';

/** The options of {@link NatAPI}. */
export interface NatAPIOptions {
  /** The lifetime to ask for, in seconds; at least 1200, at most 86400. Default 7200. */
  ttl?: number | undefined;
  /** The text that the router shows beside the mapping (UPnP), its first 64 characters. Default `NatAPI`. */
  description?: string | undefined;
  /** The router's address. Default: that of the default route. */
  gateway?: string | null | undefined;
  /** For compatibility: mappings are always renewed. */
  autoUpdate?: boolean | undefined;
  /** Whether NAT-PMP and its successor PCP are tried. Default true. */
  enablePMP?: boolean | undefined;
  /** Whether UPnP is tried. Default true. */
  enableUPNP?: boolean | undefined;
  /** For compatibility: a router that knows only permanent UPnP mappings gets one, which is deleted in the end. */
  upnpPermanentFallback?: boolean | string | undefined;
  /** The router's NAT-PMP and PCP port, for simulated ones. */
  pcpPort?: number | undefined;
  /** Where SSDP searches are sent, for simulated routers. */
  ssdpAddress?: string | undefined;
}

/** A port to map or to unmap. */
export interface NatAPIPort {
  /** The port outside, also as text. */
  publicPort: number | string;
  /** The local port, also as text. Default: the same. */
  privatePort?: number | string | undefined;
  /** `UDP` or `TCP`, in any case; without it both. */
  protocol?: string | null | undefined;
  /** As in {@link NatAPIOptions}, for this port. */
  description?: string | undefined;
  /** As in {@link NatAPIOptions}, for this port. */
  ttl?: number | undefined;
  /** As in {@link NatAPIOptions}, for this port. */
  gateway?: string | null | undefined;
}

/** A callback in Node's manner. */
export type Callback<T> = (error: Error | null, result?: T) => void;

/** Which port a call is about; its last argument may be a callback. */
export type PortArguments =
  | [port: number]
  | [publicPort: number, privatePort: number]
  | [options: NatAPIPort]
  | [port: number, callback: Callback<boolean>]
  | [publicPort: number, privatePort: number, callback: Callback<boolean>]
  | [options: NatAPIPort, callback: Callback<boolean>];

/** The shortest lifetime that nat-api asks for, and the default, in seconds. */
const MIN_TTL = 1200;
const DEFAULT_TTL = 7200;
/** What portlease takes at most; nat-api knows no bounds. */
const MAX_TTL = 86_400;
const MAX_DESCRIPTION = 64;

interface Port {
  publicPort: number;
  privatePort: number;
  transports: Transport[];
  /** The router's; none for that of the options. */
  gateway: string | undefined;
  wishes: Pick<MapOptions, 'ttl' | 'description'>;
}

function key(port: Port, transport: Transport): string {
  return `${port.publicPort}:${port.privatePort}-${transport}`;
}

/** Calls back, if there is a callback, with the same outcome as the promise. */
function told<T>(promise: Promise<T>, callback: Callback<T> | undefined): Promise<T> {
  if (typeof callback === 'function') {
    // Out of the promise: what the callback throws is uncaught, not a rejection.
    promise.then(
      (result) => nextTick(callback, result === false ? new Error('no protocols succeeded') : null, result),
      (error) => nextTick(callback, error),
    );
  }
  return promise;
}

/**
 * Maps ports, in the manner of nat-api: what cannot be done is `false`, not an error, and once used it keeps the
 * process alive until {@link destroy}.
 */
export class NatAPI {
  readonly #options: NatAPIOptions;
  readonly #protocols: Protocol[];
  /** By the router's address. */
  readonly #mappers = new Map<string | undefined, Mapper>();
  readonly #leases = new Map<string, Lease>();
  #destroyed = false;

  /** Does not touch the network. */
  constructor(options: NatAPIOptions = {}) {
    this.#options = options;
    this.#protocols = [
      ...(options.enablePMP !== false ? (['pcp', 'nat-pmp'] as const) : []),
      ...(options.enableUPNP !== false ? (['upnp'] as const) : []),
    ];
  }

  /**
   * Maps a port, for UDP and TCP unless told otherwise, to exactly the public port that is named. `true` if that
   * was done. Rejects if no port is named, the protocol is neither UDP nor TCP, or the client is destroyed.
   */
  map(...args: PortArguments): Promise<boolean> {
    const [callback, rest] = split(args);
    return told(this.#map(rest), callback);
  }

  /**
   * Takes off the router what {@link map} put there. `false` if this client has no such mapping, or the router has not
   * confirmed that it is gone.
   */
  unmap(...args: PortArguments): Promise<boolean> {
    const [callback, rest] = split(args);
    return told(this.#unmap(rest), callback);
  }

  /** The router's external address; empty if it cannot be had. */
  externalIp(callback?: Callback<string>): Promise<string> {
    return told(this.#externalIp(), callback);
  }

  /** Unmaps everything. Rejects if that was done before. */
  destroy(callback?: Callback<boolean>): Promise<boolean> {
    return told(this.#destroy(), callback);
  }

  async #map(args: unknown[]): Promise<boolean> {
    const port = this.#port(args);
    const mapped = await Promise.all(port.transports.map((transport) => this.#mapOne(port, transport)));
    return mapped.every(Boolean);
  }

  async #mapOne(port: Port, transport: Transport): Promise<boolean> {
    const mapper = this.#mapper(port.gateway);
    if (!mapper) return false;
    const name = key(port, transport);
    let lease = this.#leases.get(name);
    try {
      if (lease?.active) return true;
      lease ??= mapper.map({
        port: port.privatePort,
        externalPort: port.publicPort,
        exact: true,
        transport,
        ...port.wishes,
      });
      this.#leases.set(name, lease);
      await lease.ready();
      return true;
    } catch {
      if (lease && this.#leases.get(name) === lease) this.#leases.delete(name);
      await lease?.stop();
      return false;
    }
  }

  async #unmap(args: unknown[]): Promise<boolean> {
    const port = this.#port(args);
    const stopped = await Promise.all(
      port.transports.map(async (transport) => {
        const name = key(port, transport);
        const lease = this.#leases.get(name);
        this.#leases.delete(name);
        return (await lease?.stop()) === Release.RELEASED;
      }),
    );
    return stopped.every(Boolean);
  }

  async #externalIp(): Promise<string> {
    this.#check('client is destroyed');
    for (const { external } of this.#leases.values()) if (external) return external.address;
    try {
      return (await this.#mapper(undefined)?.externalAddress()) ?? '';
    } catch {
      return '';
    }
  }

  async #destroy(): Promise<boolean> {
    this.#check('client already destroyed');
    this.#destroyed = true;
    await Promise.all([...this.#mappers.values()].map((mapper) => mapper.stop()));
    return true;
  }

  #check(message: string): void {
    if (this.#destroyed) throw new Error(message);
  }

  #wishes({ ttl, description }: Partial<NatAPIPort>): Port['wishes'] {
    const common = this.#options.ttl ? Math.max(this.#options.ttl, MIN_TTL) : DEFAULT_TTL;
    return {
      ttl: Math.min(ttl || common, MAX_TTL) * 1000,
      description: [...(description || this.#options.description || 'NatAPI')].slice(0, MAX_DESCRIPTION).join(''),
    };
  }

  /** The mapper for this router; none if no protocol is enabled. */
  #mapper(gateway: string | undefined): Mapper | undefined {
    if (this.#protocols.length === 0) return undefined;
    const address = gateway || this.#options.gateway || undefined;
    let mapper = this.#mappers.get(address);
    if (!mapper) {
      const { pcpPort, ssdpAddress } = this.#options;
      // As the sockets of nat-api do, until `destroy`.
      mapper = Mapper.start({ protocols: this.#protocols, gateway: address, pcpPort, ssdpAddress }).ref();
      this.#mappers.set(address, mapper);
    }
    return mapper;
  }

  #port([first, second]: unknown[]): Port {
    this.#check('client is destroyed');
    const options: Partial<NatAPIPort> =
      typeof first === 'object' && first !== null
        ? first
        : typeof first === 'number'
          ? { publicPort: first, privatePort: typeof second === 'number' ? second : first }
          : {};
    const { protocol, gateway } = options;
    const publicPort = portNumber(options.publicPort);
    const privatePort = portNumber(options.privatePort ?? publicPort);
    if (publicPort === undefined || privatePort === undefined) throw new Error('port was not specified');
    const transport = protocol ? String(protocol).toLowerCase() : undefined;
    if (transport !== undefined && transport !== 'udp' && transport !== 'tcp') throw new Error('protocol is invalid');
    const transports: Transport[] = transport ? [transport] : ['udp', 'tcp'];
    return { publicPort, privatePort, transports, gateway: gateway ?? undefined, wishes: this.#wishes(options) };
  }
}

/** nat-api takes ports as text too: they often come from a command line or the environment. */
function portNumber(port: number | string | undefined): number | undefined {
  if (typeof port !== 'string') return port;
  return port.trim() === '' ? undefined : Number(port);
}

function split(args: PortArguments): [Callback<boolean> | undefined, unknown[]] {
  const last: unknown = args.at(-1);
  return typeof last === 'function' ? [last as Callback<boolean>, args.slice(0, -1)] : [undefined, args];
}

export default NatAPI;

/**
 * The client of `nat-upnp`, with callbacks, and that of `@runonflux/nat-upnp`, with promises, on portlease: routers with
 * PCP and NAT-PMP are served too, and mappings are renewed until `close`.
 *
 * @packageDocumentation
 */

import type { MapperOptions } from './config';
import { invalid, PortLeaseError } from './errors';
import type { Lease } from './lease';
import { Mapper } from './mapper';
import { Release, type Transport } from './names';
import { nextTick } from './timers';

/** The options of {@link Client}. The originals know `timeout` alone. */
export interface ClientOptions extends Pick<MapperOptions, 'gateway' | 'pcpPort' | 'ssdpAddress'> {
  /** For compatibility: a call ends within 2 s if no router answers. */
  timeout?: number | undefined;
}

/** A port, also as text, or with a host. */
export type Endpoint = number | string | { port?: number | string | undefined; host?: string | undefined } | null;

/** A mapping to remove. */
export interface UnmappingOptions {
  /** The port outside. A host would be the only one that may use it, and is refused. */
  public?: Endpoint | undefined;
  /** The local port; a host is the local address. */
  private?: Endpoint | undefined;
  /** `UDP` or `TCP`, in any case. Default TCP. */
  protocol?: string | undefined;
}

/** A mapping to make. */
export interface MappingOptions extends UnmappingOptions {
  /** The lifetime to ask for, in seconds, at most a day; 0 is a day. It is renewed. Default 1800. */
  ttl?: number | string | undefined;
  /** The text that the router shows beside the mapping (UPnP), its first 64 characters. Default `node:nat:upnp`. */
  description?: string | undefined;
}

/** Which mappings are asked for. */
export interface GetMappingsOptions {
  /** Only those that lead to this machine. */
  local?: boolean | undefined;
  /** Only those whose description has this in it. */
  description?: RegExp | string | undefined;
}

/** One line of the router's table. */
export interface Mapping {
  /** The port outside, and the only host that may use it; empty for everybody. */
  public: { host: string; port: number };
  /** Where it leads. */
  private: { host: string; port: number };
  /** `tcp` or `udp`. */
  protocol: string;
  /** Whether it is in force. */
  enabled: boolean;
  /** What its maker calls it. */
  description: string;
  /** The seconds that are left; 0 for a permanent one. */
  ttl: number;
  /** Whether it leads to this machine. */
  local: boolean;
}

/** The router. There is no `run`: not every router speaks UPnP. */
export interface Gateway {
  /** A URL with its address. */
  description: string;
}

/** A callback in Node's manner. */
export type Callback<T> = (error: Error | null, result?: T) => void;

const DEFAULT_TTL = 1800;
/** What portlease takes at most; the originals know no bounds. */
const MAX_TTL = 86_400;
const MAX_DESCRIPTION = 64;

interface Mapped {
  lease: Lease;
  privatePort: number;
  host: string;
  description: string;
}

/** Maps ports in the manner of nat-upnp. As its sockets do, it keeps the process alive until {@link close}. */
export class Client {
  /** For compatibility: see {@link ClientOptions}. */
  timeout: number;
  readonly #options: MapperOptions;
  /** By the local address to which their ports lead; '' for the one that faces the router. */
  readonly #mappers = new Map<string, Mapper>();
  readonly #mapped = new Map<string, Mapped>();
  #closed = false;

  /** Does not touch the network. */
  constructor({ timeout, gateway, pcpPort, ssdpAddress }: ClientOptions = {}) {
    this.timeout = timeout || 1800;
    this.#options = { gateway, pcpPort, ssdpAddress };
    this.#mapper('');
  }

  /** The same as `new Client(options)`. */
  static create(options?: ClientOptions): Client {
    return new Client(options);
  }

  /** Maps exactly this port, and keeps it mapped until it is unmapped or the client is closed. */
  portMapping(options: MappingOptions, callback?: Callback<void>): void {
    call(this.createMapping(options), callback, () => []);
  }

  /** Deletes the mapping from the router, also one that an earlier run of the program has made (UPnP). */
  portUnmapping(options: UnmappingOptions, callback?: Callback<void>): void {
    call(this.removeMapping(options), callback, () => []);
  }

  /** {@link portMapping} with a promise. */
  async createMapping(options: MappingOptions): Promise<Record<string, never>> {
    const { publicPort, privatePort, host, transport } = ports(options);
    const mapper = this.#mapper(host);
    const key = `${transport} ${publicPort}`;
    const description = [...(options.description || 'node:nat:upnp')].slice(0, MAX_DESCRIPTION).join('');
    let mapped = this.#mapped.get(key);
    if (mapped && (mapped.privatePort !== privatePort || mapped.host !== host)) {
      // As AddPortMapping does: the port leads elsewhere from now on.
      this.#mapped.delete(key);
      await mapped.lease.stop();
      mapped = undefined;
    }
    if (!mapped) {
      const wishes = { externalPort: publicPort, exact: true, transport, ttl: lifetime(options.ttl), description };
      mapped = { lease: mapper.map({ port: privatePort, ...wishes }), privatePort, host, description };
      this.#mapped.set(key, mapped);
    }
    const { lease } = mapped;
    try {
      if (!lease.active) await lease.ready();
    } catch (error) {
      // The caller gets a plain no, and asks again later.
      if (this.#mapped.get(key) === mapped) this.#mapped.delete(key);
      lease.stop().catch(() => {});
      throw error;
    }
    return {};
  }

  /** {@link portUnmapping} with a promise. */
  async removeMapping(options: UnmappingOptions): Promise<Record<string, never>> {
    const { publicPort, transport } = ports(options);
    const mapper = this.#mapper('');
    const key = `${transport} ${publicPort}`;
    const mapped = this.#mapped.get(key);
    this.#mapped.delete(key);
    if (mapped) {
      if ((await mapped.lease.stop()) === Release.RELEASED) return {};
      throw new PortLeaseError('unavailable', 'the router has not confirmed that the mapping is gone');
    }
    if (await mapper.delete({ externalPort: publicPort, transport })) return {};
    throw new PortLeaseError('refused', `no mapping of ${transport} port ${publicPort} is on the router`);
  }

  /**
   * The router's table, whoever made its lines. A router without UPnP shows no table: then it is what this client has
   * mapped. With a promise if there is no callback.
   */
  getMappings(options?: GetMappingsOptions): Promise<Mapping[]>;
  getMappings(callback: Callback<Mapping[]>): void;
  getMappings(options: GetMappingsOptions, callback: Callback<Mapping[]>): void;
  getMappings(...args: unknown[]): Promise<Mapping[]> | undefined {
    const callback = args.find((arg): arg is Callback<Mapping[]> => typeof arg === 'function');
    const options: GetMappingsOptions = typeof args[0] === 'object' && args[0] !== null ? args[0] : {};
    const found = this.#getMappings(options);
    if (!callback) return found;
    call(found, callback);
    return undefined;
  }

  /** The address at which the internet sees this machine. */
  externalIp(callback: Callback<string>): void {
    call(this.getPublicIp(), callback);
  }

  /** {@link externalIp} with a promise. */
  async getPublicIp(): Promise<string> {
    const mapper = this.#mapper('');
    for (const { lease } of this.#mapped.values()) if (lease.external) return lease.external.address;
    return mapper.externalAddress();
  }

  /** The router, and this machine's address towards it. */
  findGateway(callback: (error: Error | null, gateway?: Gateway, address?: string) => void): void {
    call(this.getGateway(), callback, ({ gateway, address }) => [gateway, address]);
  }

  /** {@link findGateway} with a promise. */
  async getGateway(): Promise<{ gateway: Gateway; address: string }> {
    const mapper = this.#mapper('');
    const { gateway } = await mapper.probe();
    return { gateway: { description: `http://${gateway}/` }, address: mapper.snapshot().localAddress ?? '' };
  }

  /** Ends the client, and leaves what it has mapped to its lifetime, as the originals do. */
  close(): void {
    this.#closed = true;
    const detached = [...this.#mapped.values()].map(({ lease }) => lease.detach().catch(() => {}));
    this.#mapped.clear();
    Promise.all(detached).then(() => {
      for (const mapper of this.#mappers.values()) mapper.stop().catch(() => {});
    });
  }

  async #getMappings({ local, description }: GetMappingsOptions): Promise<Mapping[]> {
    const mappings = await this.#table();
    return mappings.filter(
      (one) =>
        (!local || one.local) &&
        (!description ||
          (typeof description === 'string'
            ? one.description.includes(description)
            : one.description.search(description) !== -1)),
    );
  }

  async #table(): Promise<Mapping[]> {
    const mapper = this.#mapper('');
    try {
      return (await mapper.table()).map((entry) => ({
        public: { host: entry.remoteHost, port: entry.externalPort },
        private: { host: entry.internalClient, port: entry.internalPort },
        protocol: entry.transport,
        enabled: entry.enabled,
        description: entry.description,
        ttl: Math.ceil((entry.lifetime ?? 0) / 1000),
        local: entry.thisMachine,
      }));
    } catch (error) {
      const own = [...this.#mapped.values()].filter(({ lease }) => lease.active);
      if (own.length === 0) throw error;
      return own.map(({ lease, privatePort, host, description }) => {
        const { externalPort, transport, expiresIn } = lease.snapshot();
        return {
          public: { host: '', port: externalPort ?? 0 },
          private: { host: host || (lease.mapper.snapshot().localAddress ?? ''), port: privatePort },
          protocol: transport,
          enabled: true,
          description,
          ttl: Math.ceil((expiresIn ?? 0) / 1000),
          local: true,
        };
      });
    }
  }

  #mapper(localAddress: string): Mapper {
    if (this.#closed) throw new PortLeaseError('stopped', 'the client is closed');
    let mapper = this.#mappers.get(localAddress);
    if (!mapper) {
      mapper = Mapper.start(localAddress ? { ...this.#options, localAddress } : this.#options).ref();
      this.#mappers.set(localAddress, mapper);
    }
    return mapper;
  }
}

/** Makes a client. */
export function createClient(options?: ClientOptions): Client {
  return new Client(options);
}

/** Calls back, if there is a callback. Without one nobody hears of an error, as with the originals. */
function call<T>(
  promise: Promise<T>,
  callback: ((error: Error | null, ...results: never[]) => void) | undefined,
  results: (value: T) => unknown[] = (value) => [value],
): void {
  // Out of the promise: what the callback throws is uncaught, not a rejection.
  promise.then(
    (value) => callback && nextTick(callback, null, ...results(value)),
    (error) => callback && nextTick(callback, error),
  );
}

interface Ports {
  publicPort: number;
  privatePort: number;
  host: string;
  transport: Transport;
}

function ports(options: UnmappingOptions): Ports {
  const outside = endpoint(options.public);
  const inside = endpoint(options.private);
  if (outside.host && outside.host !== '*' && outside.host !== '0.0.0.0') {
    throw invalid('public.host', `\`${outside.host}\` cannot be the only host that may use a mapping; leave it empty`);
  }
  const transport = String(options.protocol || 'tcp').toLowerCase();
  if (transport !== 'udp' && transport !== 'tcp') {
    throw invalid('protocol', `must be UDP or TCP, not \`${options.protocol}\``);
  }
  const publicPort = outside.port ?? inside.port ?? 0;
  return { publicPort, privatePort: inside.port ?? publicPort, host: inside.host, transport };
}

function endpoint(given: Endpoint | undefined): { port: number | undefined; host: string } {
  const { port, host = '' } = typeof given === 'object' && given !== null ? given : { port: given ?? undefined };
  return { port: port === undefined || port === '' ? undefined : Number(port), host };
}

/** In milliseconds. */
function lifetime(ttl: number | string | undefined): number {
  const seconds = ttl === undefined || ttl === '' ? DEFAULT_TTL : Number(ttl);
  if (Number.isNaN(seconds)) return DEFAULT_TTL * 1000;
  return seconds <= 0 ? MAX_TTL * 1000 : Math.min(Math.ceil(seconds), MAX_TTL) * 1000;
}

/** What `require('nat-upnp')` is. */
export const natUpnp = { createClient, Client };

export default natUpnp;

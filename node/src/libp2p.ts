/**
 * A port-mapping client for libp2p's `@libp2p/upnp-nat`, in the place of its own: routers with PCP and NAT-PMP are
 * served too.
 *
 * ```js
 * uPnPNAT({ portMappingClient: portMappingClient() })
 * ```
 *
 * @packageDocumentation
 */

import type { MapperOptions } from './config';
import { invalid, PortLeaseError } from './errors';
import type { Lease } from './lease';
import { Mapper } from './mapper';
import type { ErrorKind, Transport } from './names';
import type { SignalOptions } from './options';
import type { ActiveLeaseSnapshot } from './snapshot';

/** UDP or TCP, as libp2p writes it. */
export type PortProtocol = 'tcp' | 'TCP' | 'udp' | 'UDP';

/** How a port is mapped. */
export interface MapPortOptions extends SignalOptions {
  /** The external port that is wished for. Default: the local port. */
  externalPort?: number | undefined;
  /** Default TCP. */
  protocol?: PortProtocol | undefined;
  /** The lifetime to ask for, in milliseconds. Default: that of the client's options. */
  ttl?: number | undefined;
  /** The text that the router shows beside the mapping (UPnP). Default: that of the client's options. */
  description?: string | undefined;
}

/** A mapping that was made. */
export interface PortMapping {
  /** The external address. */
  externalHost: string;
  /** The external port. */
  externalPort: number;
  /** The local address. */
  internalHost: string;
  /** The local port. */
  internalPort: number;
  /** What is mapped. */
  protocol: 'TCP' | 'UDP';
}

/** One router. */
export interface PortMappingGateway {
  /** Tells it from others. */
  id: string;
  /** Its address. */
  host: string;
  /** Its port. */
  port: number;
  /** What it maps. */
  family: 'IPv4' | 'IPv6';
  /** Maps a port and keeps it mapped. Rejects with a `PortLeaseError`, also if the router does not know its address. */
  map(internalPort: number, internalHost: string, options?: MapPortOptions): Promise<PortMapping>;
  /** Maps a port on the local address that faces the router. */
  mapAll(internalPort: number, options?: MapPortOptions): AsyncGenerator<PortMapping, void, unknown>;
  /** Takes the mappings of a port off the router. */
  unmap(internalPort: number, options?: SignalOptions): Promise<void>;
  /** The external address. Rejects if there is none. */
  externalIp(options?: SignalOptions): Promise<string>;
  /** Takes every mapping off the router. */
  stop(options?: SignalOptions): Promise<void>;
}

/** What `@libp2p/upnp-nat` takes as `portMappingClient`. */
export interface PortMappingClient {
  /** The router, if there is one that maps ports. */
  findGateways(
    options?: SignalOptions & { searchInterval?: number },
  ): AsyncGenerator<PortMappingGateway, void, unknown>;
  /** The router at the host of this URL, whatever it speaks. Rejects if it maps no ports. */
  getGateway(descriptor: URL, options?: SignalOptions): Promise<PortMappingGateway>;
}

/** Makes a client. The options are those of `Mapper.start`, and so are the errors. */
export function portMappingClient(options: MapperOptions = {}): PortMappingClient {
  // The same for every search: libp2p goes on searching after it has found a router.
  const router = new Router(options);
  return {
    async *findGateways(search) {
      try {
        await router.find(search?.signal);
      } catch (error) {
        // No router is nothing found, and no failure.
        if (search?.signal?.aborted || (error instanceof PortLeaseError && NOT_FOUND.includes(error.kind))) return;
        throw error;
      }
      yield router;
    },
    async getGateway(descriptor, search) {
      const gateway = new Router({ ...options, gateway: descriptor.hostname });
      try {
        await gateway.find(search?.signal);
      } catch (error) {
        await gateway.stop();
        throw error;
      }
      return gateway;
    },
  };
}

/** The kinds by which a search finds nothing. */
const NOT_FOUND: ErrorKind[] = ['unavailable', 'refused', 'transport', 'timeout'];

interface Mapped {
  internalPort: number;
  lease: Lease;
}

class Router implements PortMappingGateway {
  id = '';
  host = '';
  port = 5351;
  family = 'IPv4' as const;
  readonly #options: MapperOptions;
  /** One for each local address, since that is where a mapper's ports lead; '' is the one that faces the router. */
  readonly #mappers = new Map<string, Mapper>();
  readonly #leases = new Map<string, Mapped>();

  constructor(options: MapperOptions) {
    this.#options = options;
  }

  async find(signal: AbortSignal | undefined): Promise<void> {
    const { gateway } = await this.#mapper('').probe({ signal });
    this.host = gateway ?? '';
    this.port = this.#options.pcpPort ?? this.port;
    this.id = `portlease:${this.host}`;
  }

  async map(internalPort: number, internalHost: string, options: MapPortOptions = {}): Promise<PortMapping> {
    const { externalPort, protocol = 'TCP', ttl, description, signal } = options;
    const transport = transportOf(protocol);
    const key = `${internalHost} ${internalPort} ${transport}`;
    let mapped = this.#leases.get(key);
    if (!mapped) {
      const lease = this.#mapper(internalHost).map({
        port: internalPort,
        ...{ transport, externalPort, ttl, description },
      });
      mapped = { internalPort, lease };
      this.#leases.set(key, mapped);
    }
    try {
      const snapshot = await mapped.lease.ready({ signal });
      const host = internalHost || mapped.lease.mapper.snapshot().localAddress || '';
      return portMapping(snapshot, internalPort, host);
    } catch (error) {
      // The caller gets a plain no, and asks again later.
      if (this.#leases.get(key) === mapped) this.#leases.delete(key);
      mapped.lease.stop().catch(() => {});
      throw error;
    }
  }

  async *mapAll(internalPort: number, options: MapPortOptions = {}): AsyncGenerator<PortMapping, void, unknown> {
    yield await this.map(internalPort, '', options);
  }

  async unmap(internalPort: number, { signal }: SignalOptions = {}): Promise<void> {
    const stops = [...this.#leases].flatMap(([key, mapped]) => {
      if (mapped.internalPort !== internalPort) return [];
      this.#leases.delete(key);
      return [mapped.lease.stop({ signal })];
    });
    await Promise.all(stops);
  }

  async externalIp({ signal }: SignalOptions = {}): Promise<string> {
    for (const { lease } of this.#leases.values()) if (lease.external) return lease.external.address;
    return this.#mapper('').externalAddress({ signal });
  }

  async stop({ signal }: SignalOptions = {}): Promise<void> {
    const mappers = [...this.#mappers.values()];
    this.#mappers.clear();
    this.#leases.clear();
    await Promise.all(mappers.map((mapper) => mapper.stop({ signal })));
  }

  /** Starts it at the first call, and again after a stop. */
  #mapper(localAddress: string): Mapper {
    let mapper = this.#mappers.get(localAddress);
    if (!mapper) {
      mapper = Mapper.start(localAddress ? { ...this.#options, localAddress } : this.#options);
      this.#mappers.set(localAddress, mapper);
    }
    return mapper;
  }
}

function transportOf(protocol: string): Transport {
  const transport = protocol.toLowerCase();
  if (transport === 'udp' || transport === 'tcp') return transport;
  throw invalid('protocol', `\`${protocol}\` is neither TCP nor UDP`);
}

function portMapping(snapshot: ActiveLeaseSnapshot, internalPort: number, internalHost: string): PortMapping {
  if (!snapshot.external) {
    throw new PortLeaseError('unavailable', 'the port is mapped, but the router does not know its external address');
  }
  const { address: externalHost, port: externalPort } = snapshot.external;
  const protocol = snapshot.transport === 'udp' ? 'UDP' : 'TCP';
  return { externalHost, externalPort, internalHost, internalPort, protocol };
}

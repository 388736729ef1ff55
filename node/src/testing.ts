/**
 * A simulated home gateway for tests: PCP, NAT-PMP and UPnP on loopback, with real forwarding and a switch for
 * everything that goes wrong on real routers.
 *
 * @packageDocumentation
 */

import { addon } from './addon';
import { calling, invalid, PortLeaseError } from './errors';
import type { Transport } from './names';
import type { GatewayHandle } from './native';
import { limits, type MapperOptions, type WaitOptions } from './options';

/** How a protocol or a server behaves. */
export type Mode =
  | 'normal'
  | 'off'
  | 'silent'
  | {
      /** The code of the refusal, in the protocol's own numbers. */
      refuse: number;
    };

/** The switches by which a gateway misbehaves. Those not named stay as they are; all are listed in the gateway's README. */
export interface Faults {
  /** PCP. */
  pcp?: Mode;
  /** NAT-PMP. */
  nat_pmp?: Mode;
  /** UPnP as a whole: SSDP and the web server. */
  upnp?: Mode;
  /** SSDP. */
  ssdp?: Mode;
  /** The web server. */
  http?: Mode;
  /** Milliseconds before each PCP answer. */
  pcp_delay_ms?: number;
  /** Milliseconds before each NAT-PMP answer. */
  nat_pmp_delay_ms?: number;
  /** Milliseconds before each SSDP answer. */
  ssdp_delay_ms?: number;
  /** Milliseconds before each HTTP answer. */
  http_delay_ms?: number;
  /** So many of the next datagrams are lost. */
  drop_next?: number;
  /** The lifetime that is granted whatever was asked for, in seconds. */
  granted_lifetime?: number | null;
  /** The router has a carrier-grade NAT address. */
  cgnat?: boolean;
  /** No further mapping has room. */
  table_full?: boolean;
  [name: string]: unknown;
}

/** The settings of a gateway; the default is a healthy home router on free loopback ports. */
export interface GatewayOptions {
  /** Whether PCP is spoken. Default true. */
  pcp?: boolean;
  /** Whether NAT-PMP is spoken. Default true. */
  nat_pmp?: boolean;
  /** Whether UPnP is spoken. Default true. */
  upnp?: boolean;
  /** The external address that clients are told; null: the router has none. Default 192.0.1.1. */
  external_address?: string | null;
  /** The least lifetime in seconds that PCP and NAT-PMP grant. Default 1. */
  min_lifetime?: number;
  /** The greatest lifetime in seconds that PCP and NAT-PMP grant. Default 86400. */
  max_lifetime?: number;
  /** Most mappings that the table holds. Default 4096. */
  max_mappings?: number;
  /** The faults that are on from the start. */
  faults?: Faults;
  [name: string]: unknown;
}

/** One line of the router's table. */
export interface GatewayMapping {
  /** The protocol that made it, or that last renewed it; `static` where no client did. */
  readonly protocol: 'pcp' | 'nat-pmp' | 'upnp' | 'static';
  /** `udp` or `tcp`. */
  readonly transport: Transport;
  /** The port on the router's external address, as clients are told. */
  readonly external_port: number;
  /** Where traffic goes, `address:port`. */
  readonly internal: string;
  /** UPnP's description; empty for the others. */
  readonly description: string;
  /** Seconds left; null for a permanent mapping. */
  readonly expires_in: number | null;
  /** The loopback `address:port` where traffic for this mapping really enters. */
  readonly reach: string;
  /** The PCP nonce in hex. */
  readonly nonce: string | null;
}

/** The gateway at one moment. */
export interface GatewayState {
  /** The table, by transport and external port. */
  readonly mappings: readonly GatewayMapping[];
  /** How many messages of each type have arrived; a type that never came is not there. */
  readonly counters: Readonly<Record<string, number>>;
  /** The external address that clients are told. */
  readonly external_address: string | null;
  /** For how many seconds the router claims to have been up. */
  readonly epoch: number;
}

/** A mapping as if made in the router's own settings. */
export interface StaticMapping {
  /** `udp` or `tcp`. */
  transport: Transport;
  /** The external port that it takes. */
  external_port: number;
  /** Where its traffic goes, `address:port`. */
  internal: string;
  /** Seconds; without it the mapping is permanent. */
  lifetime?: number;
}

/** How long {@link Gateway.waitFor} waits where no time is given, in milliseconds. */
const DEFAULT_WAIT = 5000;
/** How often it looks. */
const LOOK_INTERVAL = 5;

/**
 * A running simulated gateway, on a thread of its own in this process.
 *
 * ```js
 * await using gateway = await Gateway.start({ upnp: false });
 * const mapper = Mapper.start(gateway.config);
 * await mapper.map({ port: 9001 }).ready();
 * assert.equal(gateway.mappings().length, 1);
 * ```
 *
 * Settings, switches and results have the names of the simulated gateway's README, which lists them all.
 */
export class Gateway {
  readonly #handle: GatewayHandle;

  private constructor(handle: GatewayHandle) {
    this.#handle = handle;
  }

  /**
   * Starts a gateway. Rejects with `invalid` for a setting that there is not or that is out of range, and with
   * `transport` where a port cannot be had.
   */
  static async start(options: GatewayOptions = {}): Promise<Gateway> {
    return new Gateway(calling(() => addon.GatewayHandle.start(JSON.stringify(options))));
  }

  /** The options by which a mapper finds this gateway, for `Mapper.start`. After a reboot they are the same. */
  get config(): Required<Pick<MapperOptions, 'gateway' | 'pcpPort' | 'ssdpAddress'>> {
    const { gateway, pcp_port: pcpPort, ssdp_address: ssdpAddress } = this.#addresses();
    return { gateway, pcpPort, ssdpAddress };
  }

  /** The URL of the UPnP device description. A reboot changes it. */
  get descriptionUrl(): string {
    return this.#addresses().description_url;
  }

  /** The table. */
  mappings(): readonly GatewayMapping[] {
    return this.state().mappings;
  }

  /** How many messages of each type have arrived. */
  counters(): Readonly<Record<string, number>> {
    return this.state().counters;
  }

  /** Table, counters, external address and epoch at one moment. */
  state(): GatewayState {
    return this.execute({ command: 'state' }).state as GatewayState;
  }

  /** All switches. */
  faults(): Faults {
    return this.execute({ command: 'faults' }).faults as Faults;
  }

  /** Sets switches; those not named stay as they are. Throws `invalid` for one that there is not. */
  setFaults(faults: Faults): void {
    this.execute({ set: faults });
  }

  /** Restarts the router: its table is empty, its epoch begins at 0. */
  reboot(): void {
    this.execute({ command: 'reboot' });
  }

  /** Changes the external address; null takes it away. Mappings stay. */
  setExternalAddress(address: string | null): void {
    this.execute({ command: 'external_address', address });
  }

  /** Adds a mapping that no client asked for: it occupies its port, and forwards. Throws `invalid` where it cannot. */
  addMapping(mapping: StaticMapping): GatewayMapping {
    return this.execute({ command: 'add_mapping', ...mapping }).mapping as GatewayMapping;
  }

  /** Takes a mapping out of the table, whoever made it. False where there is none. */
  removeMapping(transport: Transport, externalPort: number): boolean {
    return this.execute({ command: 'remove_mapping', transport, external_port: externalPort }).removed as boolean;
  }

  /**
   * Waits until `condition` holds for the state, at most for `timeout` milliseconds (default 5000), and answers with
   * that state. Rejects with `timeout`, and with the reason of `signal`.
   */
  async waitFor(condition: (state: GatewayState) => boolean, options?: WaitOptions): Promise<GatewayState> {
    const { timeout = DEFAULT_WAIT, signal } = limits(options);
    const deadline = performance.now() + timeout;
    for (;;) {
      signal?.throwIfAborted();
      const state = this.state();
      if (condition(state)) return state;
      if (performance.now() >= deadline) {
        throw new PortLeaseError('timeout', `the gateway was not so within ${timeout} ms: ${JSON.stringify(state)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
    }
  }

  /** Carries out a command of the gateway's line protocol and answers with the fields of the reply. */
  execute(command: Record<string, unknown>): Record<string, unknown> {
    const reply = JSON.parse(calling(() => this.#handle.execute(JSON.stringify(command)))) as Record<string, unknown>;
    if (reply.error !== undefined) throw invalid('command', String(reply.error));
    return reply;
  }

  /** Ends the gateway: all its ports are closed. May be called again. */
  async stop(): Promise<void> {
    this.#handle.stop();
  }

  /** {@link stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #addresses(): { gateway: string; pcp_port: number; ssdp_address: string; description_url: string } {
    return JSON.parse(calling(() => this.#handle.started()));
  }
}

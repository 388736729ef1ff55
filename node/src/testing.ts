/**
 * A simulated home gateway for tests: PCP, NAT-PMP and UPnP on loopback, with real forwarding and a switch for
 * everything that goes wrong on real routers.
 *
 * @packageDocumentation
 */

import { isIPv4 } from 'node:net';
import { addon } from './addon';
import { calling, invalid, PortLeaseError } from './errors';
import type { Faults, GatewayOptions } from './gateway-options';
import {
  type Announcement,
  announcementToJson,
  entryToJson,
  faultsFromJson,
  faultsToJson,
  mappingToJson,
  optionsToJson,
  pinholeToJson,
  type StaticMapping,
  translated,
} from './gateway-values';
import { checkMade, inspectable, inspected, made } from './internal';
import type { Protocol, Transport } from './names';
import type { GatewayHandle } from './native';
import { checkObject, limits, shown, type WaitOptions } from './options';
import { now, setTimeout } from './timers';
import { throwIfAborted } from './waiting';

export type {
  Faults,
  GatewayOptions,
  HttpBody,
  Mode,
  NameEncoding,
  SecondDevice,
  WanService,
} from './gateway-options';

export type { Announcement, StaticMapping } from './gateway-values';

/** One line of the router's table. */
export interface GatewayMapping {
  /** The protocol that made it, or that last renewed it; `static` if no client did. */
  readonly protocol: Protocol | 'static';
  /** `udp` or `tcp`. */
  readonly transport: Transport;
  /** The port on the router's external address, as clients are told. */
  readonly externalPort: number;
  /** Where traffic goes, `address:port`. */
  readonly internal: string;
  /** UPnP's description; empty for the others. */
  readonly description: string;
  /** Milliseconds left; null for a permanent mapping. */
  readonly expiresIn: number | null;
  /** The loopback `address:port` where traffic for this mapping really enters. */
  readonly reach: string;
  /** The PCP nonce in hex. */
  readonly nonce: string | null;
  /** UPnP's UniqueID of a pinhole in the IPv6 firewall; a mapping of IPv4 has none. */
  readonly uniqueId?: number;
}

/** The gateway at one moment. */
export interface GatewayState {
  /** The table, by transport and external port; then the pinholes of the IPv6 firewall. */
  readonly mappings: readonly GatewayMapping[];
  /** How many messages of each type have arrived, such as `pcpMap`; a type that never came is not there. */
  readonly counters: Readonly<Record<string, number>>;
  /** The external address that clients are told. */
  readonly externalAddress: string | null;
  /** For how many milliseconds the router claims to have been up. */
  readonly epoch: number;
}

/** The options by which a mapper finds a gateway. */
export interface GatewayConfig {
  /** Its address. */
  gateway: string;
  /** Its PCP and NAT-PMP port. */
  pcpPort: number;
  /** Where SSDP searches are sent, `address:port`. */
  ssdpAddress: string;
}

interface Addresses extends GatewayConfig {
  readonly descriptionUrl: string;
  /** Its names are those of the gateway's JSON. */
  readonly ipv6?: object;
  readonly noIpv6?: string;
}

/** How long {@link Gateway.waitFor} waits if no time is given, in milliseconds. */
const DEFAULT_WAIT = 5000;
/** How often it looks. */
const LOOK_INTERVAL = 5;

/** `nat_pmp` as `natPmp`. */
function camel(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** The same object with names of JavaScript. */
function camels(object: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).map(([name, item]) => [camel(name), item]));
}

function gatewayConfig({ gateway, pcpPort, ssdpAddress }: GatewayConfig): GatewayConfig {
  return { gateway, pcpPort, ssdpAddress };
}

function gatewayMapping(json: Record<string, unknown>): GatewayMapping {
  const { expiresIn, ...rest } = camels(json);
  return { ...rest, expiresIn: expiresIn === null ? null : Number(expiresIn) * 1000 } as unknown as GatewayMapping;
}

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
 * Options, switches and results have the names of the simulated gateway's README, in camel case, and durations are
 * milliseconds.
 */
export class Gateway {
  readonly #handle: GatewayHandle;
  #stopped = false;

  /** Gateways are made by {@link Gateway.start}; to call this throws a `TypeError`. */
  private constructor(key: symbol, handle: GatewayHandle) {
    checkMade(key, 'Gateway', 'Gateway.start()');
    this.#handle = handle;
  }

  /**
   * Starts a gateway. Rejects with `invalid` for a setting that there is not or that is out of range, and with
   * `transport` if a port cannot be had.
   */
  static async start(options: GatewayOptions = {}): Promise<Gateway> {
    const settings = JSON.stringify(optionsToJson(options));
    try {
      return new Gateway(
        made,
        calling(() => addon().GatewayHandle.start(settings)),
      );
    } catch (error) {
      const { kind, message, cause } = error as PortLeaseError;
      if (kind !== 'invalid') throw error;
      throw new PortLeaseError(kind, translated(message), { cause });
    }
  }

  /**
   * The options by which a mapper finds this gateway, for `Mapper.start`. After a reboot they are the same. They lead to
   * its IPv6 firewall too, unless `bind` or `ipv6Bind` is not a loopback address; see {@link ipv6}.
   */
  get config(): GatewayConfig {
    return gatewayConfig(this.#addresses());
  }

  /** The options by which a mapper finds the IPv6 firewall of this gateway alone; null if there is none. */
  get ipv6(): GatewayConfig | null {
    const { ipv6 } = this.#addresses();
    return ipv6 ? gatewayConfig(camels(ipv6) as unknown as GatewayConfig) : null;
  }

  /** Why there is no IPv6 firewall although the option `ipv6` is on; else null. */
  get noIpv6(): string | null {
    return this.#addresses().noIpv6 ?? null;
  }

  /** The URL of the UPnP device description. A reboot changes it. */
  get descriptionUrl(): string {
    return this.#addresses().descriptionUrl;
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
    const state = this.execute({ command: 'state' }).state as Record<string, unknown>;
    const { mappings, counters, externalAddress, epoch } = camels(state);
    return {
      mappings: (mappings as Record<string, unknown>[]).map(gatewayMapping),
      counters: camels(counters as object) as Record<string, number>,
      externalAddress: externalAddress as string | null,
      epoch: Number(epoch) * 1000,
    };
  }

  /** All switches. */
  faults(): Faults {
    return faultsFromJson(this.execute({ command: 'faults' }).faults as Record<string, unknown>);
  }

  /** Sets switches; those not named stay as they are. Throws `invalid` for one that there is not. */
  setFaults(faults: Faults): void {
    this.execute({ set: faultsToJson(faults) });
  }

  /** Restarts the router: its table is empty, its epoch begins at 0. */
  reboot(): void {
    this.execute({ command: 'reboot' });
  }

  /** Changes the external address; null takes it away. Mappings stay. Throws `invalid` for what is no IPv4 address. */
  setExternalAddress(address: string | null): void {
    if (address !== null && !isIPv4(address)) {
      throw invalid('address', `must be an IPv4 address or null, not ${shown(address)}`);
    }
    this.execute({ command: 'external_address', address });
  }

  /** Adds a mapping that no client asked for: it occupies its port, and forwards. Throws `invalid` if it cannot. */
  addMapping(mapping: StaticMapping): GatewayMapping {
    const command = { command: 'add_mapping', ...mappingToJson(mapping) };
    return gatewayMapping(this.execute(command).mapping as Record<string, unknown>);
  }

  /** Takes a mapping out of the table, whoever made it. False if there is none. */
  removeMapping(transport: Transport, externalPort: number): boolean {
    const entry = entryToJson({ transport, externalPort });
    return this.execute({ command: 'remove_mapping', ...entry }).removed as boolean;
  }

  /**
   * Closes a pinhole in the IPv6 firewall, as a router that has lost it. `internal` is `[address]:port`. False if there
   * is none.
   */
  removePinhole(transport: Transport, internal: string): boolean {
    return this.execute({ command: 'remove_pinhole', ...pinholeToJson({ transport, internal }) }).removed as boolean;
  }

  /**
   * Gives the inside another IPv6 prefix, such as `2001:db8:1::/64`. Pinholes for other addresses are closed, and requests
   * from such addresses get no answer. On a machine whose loopback has `::1` alone, such a prefix shuts the machine out,
   * and `::1/128` lets it in again. Throws `invalid` for what is no prefix.
   */
  renumber(prefix: string): void {
    this.execute({ command: 'renumber', prefix });
  }

  /**
   * Sends an announcement to an `address:port`, over IPv6 if that is an IPv6 address. Routers send those of PCP and NAT-PMP
   * to `224.0.0.1:5350` and `[ff02::1]:5350`, those of SSDP to `239.255.255.250:1900` and `[ff02::c]:1900`. Throws
   * `invalid`.
   */
  announce(what: Announcement, to: string): void {
    this.execute({ command: 'announce', ...announcementToJson(what, to) });
  }

  /**
   * Waits until `condition` holds for the state, at most for `timeout` milliseconds (default 5000), and answers with
   * that state. Rejects with `timeout`, with the reason of `signal`, and with what `condition` throws.
   */
  async waitFor(
    condition: (state: GatewayState) => boolean,
    options?: WaitOptions | AbortSignal,
  ): Promise<GatewayState> {
    if (typeof condition !== 'function') throw invalid('condition', `must be a function, not ${shown(condition)}`);
    const { timeout = DEFAULT_WAIT, signal } = limits(options);
    const deadline = now() + timeout;
    for (;;) {
      throwIfAborted(signal);
      const state = this.state();
      if (condition(state)) return state;
      if (now() >= deadline) {
        throw new PortLeaseError('timeout', `the gateway was not so within ${timeout} ms: ${JSON.stringify(state)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_INTERVAL));
    }
  }

  /**
   * Carries out a command of the gateway's line protocol and answers with the fields of the reply: JSON as it is, whose
   * names are those of the simulated gateway's README.
   */
  execute(command: Record<string, unknown>): Record<string, unknown> {
    checkObject('command', command);
    const reply = JSON.parse(calling(() => this.#handle.execute(JSON.stringify(command)))) as Record<string, unknown>;
    if (reply.error !== undefined) throw invalid('command', translated(String(reply.error)));
    return reply;
  }

  /** Ends the gateway: all its ports are closed. May be called again. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#handle.stop();
  }

  /** {@link stop}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** @internal */
  [inspectable](...how: [number, object, (value: unknown, options: object) => string]): string {
    // Never an error: people look at what they have after it has ended, too.
    if (this.#stopped) return inspected('Gateway', { stopped: true }, ...how);
    const { mappings, externalAddress } = this.state();
    return inspected('Gateway', { ...this.config, externalAddress, mappings: mappings.length }, ...how);
  }

  #addresses(): Addresses {
    return camels(JSON.parse(calling(() => this.#handle.started()))) as unknown as Addresses;
  }
}

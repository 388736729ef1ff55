import { inspect } from 'node:util';
import { invalid } from './errors';
import type { AddressFamily, Protocol, Transport } from './names';
import type { Request, Settings } from './native';

/** What happens after an attempt to map has failed, or a mapping was lost. */
export type RetryPolicy =
  /** One attempt; then the lease has exited. */
  | 'never'
  | {
      /** The first wait, in milliseconds; each further one is twice as long. Default 1000. */
      readonly min?: number | undefined;
      /** The longest wait, in milliseconds, at most a day. Default 300 000. */
      readonly max?: number | undefined;
    };

/** How a mapper behaves. Every option has a default that suits a home. Durations are milliseconds. */
export interface MapperOptions {
  /** The gateway's IPv4 address. Default: the gateway of the default route with the lowest metric. */
  gateway?: string | undefined;
  /** The local address to which the gateway shall forward. Default: the one from which the gateway is reached. */
  localAddress?: string | undefined;
  /** The interface whose default route is used, by name. */
  interface?: string | undefined;
  /** The protocols to try, in order of preference, without repeats. Default: `['pcp', 'nat-pmp', 'upnp']`. */
  protocols?: readonly Protocol[] | undefined;
  /** The lifetime to ask for, in milliseconds, 1000 (1 s) to 86 400 000 (24 h). Default 3 600 000 (1 h). */
  ttl?: number | undefined;
  /** The longest wait between renewals, in milliseconds; a short lifetime makes it shorter. Default 1 800 000. */
  renewalInterval?: number | undefined;
  /** Consecutive failed renewals after which the mapping is revoked, 1 or more. Default 3. */
  failureThreshold?: number | undefined;
  /** What happens after a failure. Default: try again, from 1 s doubling to 5 min. */
  retry?: RetryPolicy | undefined;
  /** What the gateway shows beside the mapping (UPnP only), at most 64 characters. Default `portlease`. */
  description?: string | undefined;
  /** The gateway's PCP and NAT-PMP port. Default 5351. */
  pcpPort?: number | undefined;
  /** Where SSDP searches are sent, `address:port`. Default: 239.255.255.250:1900 and port 1900 of the gateway. */
  ssdpAddress?: string | undefined;
}

/** The port to map. */
export interface MapOptions {
  /** The local port, 1 to 65535. */
  port: number;
  /** `udp` (default) or `tcp`. */
  transport?: Transport | undefined;
  /** The external port that is wished for, 1 to 65535. Default: the local port. */
  externalPort?: number | undefined;
  /** `true`: this external port or none (`refused`). `false`, the default: the gateway may grant another. */
  exact?: boolean | undefined;
  /** The address family: `ipv4`, so far the only one. */
  family?: AddressFamily | undefined;
}

/** For calls that wait. */
export interface WaitOptions {
  /** The longest wait in milliseconds; `Infinity` for none. */
  timeout?: number | undefined;
  /** Ends the wait, not what is waited for: the promise is rejected with the signal's reason at once. */
  signal?: AbortSignal | undefined;
}

/** For calls that wait as long as it takes. */
export type SignalOptions = Pick<WaitOptions, 'signal'>;

/** The options of `open`: of the mapper, of the lease and of the wait together. */
export interface OpenOptions extends MapperOptions, Omit<MapOptions, 'port'>, WaitOptions {}

/** A value as messages show it, whatever it is. */
function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity, customInspect: false, maxStringLength: 100 });
}

function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(name, `${shown(value)} is no text`);
  return value;
}

function flag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(name, `${shown(value)} is neither true nor false`);
  return value;
}

function number(name: string, value: unknown): number {
  if (typeof value !== 'number') throw invalid(name, `${shown(value)} is no number`);
  return value;
}

function timeout(name: string, value: unknown): number {
  if (!(number(name, value) >= 0)) throw invalid(name, `${shown(value)} is no duration; allowed are 0 ms and more`);
  return value as number;
}

/** A number that the addon can take; which of them make sense is the core's to say. */
function integer(name: string, value: unknown, most: number): number {
  if (!Number.isInteger(value) || number(name, value) < 0 || number(name, value) > most) {
    throw invalid(name, `${shown(value)} is no whole number between 0 and ${most}`);
  }
  return value as number;
}

function port(name: string, value: unknown): number {
  if (!Number.isInteger(value) || number(name, value) < 1 || number(name, value) > 65535) {
    throw invalid(name, `${shown(value)} is no port; allowed are 1 to 65535`);
  }
  return value as number;
}

function list(name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw invalid(name, `${shown(value)} is no list`);
  return value.map((item) => text(name, item));
}

type Readers<T> = { [name in keyof T]-?: (name: string, value: unknown) => unknown };

/** Throws where `value` is no object. */
export function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null) throw invalid(name, `${shown(value)} is no object`);
}

/** Takes an object of options apart. What is not in `readers` is a mistake, most often one of spelling. */
function read<T extends object>(what: string, options: unknown, readers: Readers<T>): Record<string, unknown> {
  if (options === undefined) return {};
  checkObject(what, options);
  const found: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const reader = Object.hasOwn(readers, name) ? readers[name as keyof T] : undefined;
    if (!reader) throw invalid(name, `there is no such option; there are ${Object.keys(readers).join(', ')}`);
    if (value !== undefined) found[name] = reader(name, value);
  }
  return found;
}

function retry(name: string, value: unknown): unknown {
  if (value === 'never') return value;
  if (typeof value !== 'object' || value === null) {
    throw invalid(name, `${shown(value)} is neither 'never' nor an object with min and max`);
  }
  return read(name, value, {
    min: () => number(name, (value as { min: unknown }).min),
    max: () => number(name, (value as { max: unknown }).max),
  });
}

/** The settings for the addon. */
export function settings(options: MapperOptions | undefined): Settings {
  const { retry: policy, ...rest } = read<MapperOptions>('options', options, {
    gateway: text,
    localAddress: text,
    interface: text,
    protocols: list,
    ttl: number,
    renewalInterval: number,
    failureThreshold: (name, value) => integer(name, value, 0xffff_ffff),
    retry,
    description: text,
    pcpPort: port,
    ssdpAddress: text,
  }) as { retry?: 'never' | { min?: number; max?: number } };
  if (policy === undefined) return rest;
  if (policy === 'never') return { ...rest, retry: false };
  const { min, max } = policy;
  return {
    ...rest,
    retry: true,
    ...(min !== undefined && { retryMin: min }),
    ...(max !== undefined && { retryMax: max }),
  };
}

/** The request for the addon. */
export function request(options: MapOptions): Request {
  const found = read<MapOptions>('options', options, {
    port,
    transport: text,
    externalPort: port,
    exact: flag,
    family: text,
  }) as Partial<Request>;
  const {
    port: internal = port('port', undefined),
    transport = 'udp',
    exact = false,
    family = 'ipv4',
    ...rest
  } = found;
  return { port: internal, transport, exact, family, ...rest };
}

/** The limits of a wait. */
export function limits(options: WaitOptions | undefined): WaitOptions {
  return read<WaitOptions>('options', options, { timeout, signal: abortSignal }) as WaitOptions;
}

/** The same where there is no time-out. */
export function signalOf(options: SignalOptions | undefined): AbortSignal | undefined {
  return (read<SignalOptions>('options', options, { signal: abortSignal }) as SignalOptions).signal;
}

function abortSignal(name: string, value: unknown): AbortSignal {
  const signal = value as Partial<AbortSignal> | null;
  if (typeof signal?.aborted !== 'boolean' || typeof signal.addEventListener !== 'function') {
    throw invalid(name, `${shown(value)} is no AbortSignal`);
  }
  return value as AbortSignal;
}

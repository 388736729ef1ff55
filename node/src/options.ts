import { inspect } from 'node:util';
import { type MapOptions, type MapperOptions, mapOptions, mapperOptions, type Reading } from './config';
import { invalid } from './errors';
import type { AddressFamily, Transport } from './names';
import type { LeaseSnapshot } from './snapshot';

/** For calls that wait. */
export interface WaitOptions {
  /** The longest wait in milliseconds; `Infinity` for none. */
  timeout?: number | undefined;
  /** Ends the wait, not what is waited for: the promise is rejected with the signal's reason at once. */
  signal?: AbortSignal | undefined;
}

/** For calls that wait as long as it takes. */
export type SignalOptions = Pick<WaitOptions, 'signal'>;

/** For `Lease.changed`. */
export interface ChangedOptions extends WaitOptions {
  /** The state that the caller knows, or its `revision`. Default: the state at the call. */
  since?: LeaseSnapshot | number | undefined;
}

/** For `Mapper.probe`. */
export interface FamilyOptions extends SignalOptions {
  /** The family whose gateway is asked. Default `ipv4`. */
  family?: AddressFamily | undefined;
}

/** The options of the module's `probe`: of the mapper and of the wait together. */
export interface ProbeOptions extends MapperOptions, FamilyOptions {}

/** The options of the module's `externalAddress`: of the mapper and of the wait together. */
export interface ExternalAddressOptions extends MapperOptions, WaitOptions {}

/** For `Mapper.delete`. */
export interface DeleteOptions extends SignalOptions {
  /** The port on the router's public side, 1 to 65535. */
  externalPort: number;
  /** UDP, which is the default, or TCP. */
  transport?: Transport | undefined;
  /** Whether an entry is deleted that forwards to another machine. Default false: then that is `refused`. */
  anyHost?: boolean | undefined;
}

/** The options of `open`: of the mapper, of the lease and of the wait together. */
export interface OpenOptions extends MapperOptions, Omit<MapOptions, 'port'>, WaitOptions {}

/** A value as messages show it, whatever it is. */
export function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity, customInspect: false, maxStringLength: 100 });
}

export function text(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(name, `must be a string, not ${shown(value)}`);
  return value;
}

export function flag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(name, `must be true or false, not ${shown(value)}`);
  return value;
}

export function number(name: string, value: unknown): number {
  if (typeof value !== 'number') throw invalid(name, `must be a number, not ${shown(value)}`);
  return value;
}

export function timeout(name: string, value: unknown): number {
  if (!(number(name, value) >= 0)) throw invalid(name, `must be 0 ms or more, not ${shown(value)}`);
  return value as number;
}

/** A number that the addon can take; which of them make sense is the core's to say. */
export function integer(name: string, value: unknown, most: number): number {
  if (!Number.isInteger(value) || number(name, value) < 0 || number(name, value) > most) {
    throw invalid(name, `must be a whole number between 0 and ${most}, not ${shown(value)}`);
  }
  return value as number;
}

function port(name: string, value: unknown): number {
  if (!Number.isInteger(value) || number(name, value) < 1 || number(name, value) > 65535) {
    throw invalid(name, `must be between 1 and 65535, not ${shown(value)}`);
  }
  return value as number;
}

function revision(name: string, value: unknown): number {
  const { revision } = Object(value) as Partial<LeaseSnapshot>;
  return integer(name, revision ?? value, Number.MAX_SAFE_INTEGER);
}

function list(name: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw invalid(name, `must be an array, not ${shown(value)}`);
  return value.map((item) => text(name, item));
}

type Reader = (name: string, value: unknown) => unknown;
type Readers<T> = { [name in keyof T]-?: Reader };

/** Throws if `value` is no object of options: an array or a signal has none, and would seem to be one without any. */
export function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && !isSignal(value)) return;
  throw invalid(name, `must be an object, not ${shown(value)}`);
}

/** An object that has these fields and no others: not what somebody has added to the prototype of all objects. */
function bare(fields: object): Record<string, unknown> {
  return Object.assign(Object.create(null), fields);
}

/** Takes an object of options apart. What is not in `readers` is a mistake, most often one of spelling. */
function read<T extends object>(what: string, options: unknown, readers: Readers<T>): Record<string, unknown> {
  const found = bare({});
  if (options === undefined) return found;
  checkObject(what, options);
  for (const [name, value] of Object.entries(options)) {
    const reader = Object.hasOwn(readers, name) ? readers[name as keyof T] : undefined;
    if (!reader) throw invalid(name, `there is no such option; there are ${Object.keys(readers).join(', ')}`);
    if (value !== undefined) found[name] = reader(name, value);
  }
  return found;
}

function retry(name: string, value: unknown): unknown {
  if (value === 'never') return bare({ never: true });
  if (typeof value !== 'object' || value === null) {
    throw invalid(name, `must be 'never' or an object with min and max, not ${shown(value)}`);
  }
  return read(name, value, {
    min: () => number(name, (value as { min: unknown }).min),
    max: () => number(name, (value as { max: unknown }).max),
  });
}

const READERS: Record<Reading, Reader> = {
  count: (name, value) => integer(name, value, 0xffff_ffff),
  flag,
  list,
  number,
  port,
  retry,
  text,
};

/** The reader of each option. */
function readers<K extends string>(readings: Record<K, Reading>): Record<K, Reader> {
  const pairs = Object.entries<Reading>(readings).map(([name, reading]) => [name, READERS[reading]]);
  return Object.fromEntries(pairs);
}

const SETTING_READERS = readers(mapperOptions);
const REQUEST_READERS = readers(mapOptions);

/** The settings for the addon. */
export function settings(options: MapperOptions | undefined): object {
  return read<MapperOptions>('options', options, SETTING_READERS);
}

/** The request for the addon. */
export function request(options: MapOptions): object {
  const found = read<MapOptions>('options', options, REQUEST_READERS);
  if (found.port === undefined) port('port', undefined);
  return found;
}

const SIGNAL_READERS = { signal: abortSignal };
const LIMIT_READERS = { timeout, ...SIGNAL_READERS };
const PROBE_READERS = { family: text, ...SIGNAL_READERS };

/** A signal alone stands for options that have nothing else. */
function withSignal<T extends object>(options: T | AbortSignal | undefined): T | SignalOptions | undefined {
  return isSignal(options) ? { signal: options } : options;
}

/** The limits of a wait. */
export function limits(options: WaitOptions | AbortSignal | undefined): WaitOptions {
  return read<WaitOptions>('options', withSignal(options), LIMIT_READERS) as WaitOptions;
}

/** The same for a wait for a change, which has the number of a state as well. */
export function changes(options: ChangedOptions | AbortSignal | undefined): WaitOptions & { since?: number } {
  return read<ChangedOptions>('options', withSignal(options), { ...LIMIT_READERS, since: revision });
}

interface Deletion extends SignalOptions {
  externalPort: number;
  transport: string;
  anyHost: boolean;
}

/** What to delete. */
export function deletion(options: DeleteOptions): Deletion {
  const found = read<DeleteOptions>('options', options, DELETE_READERS);
  const externalPort = port('externalPort', found.externalPort);
  return bare({ transport: 'udp', anyHost: false, ...found, externalPort }) as unknown as Deletion;
}

const DELETE_READERS: Readers<DeleteOptions> = {
  externalPort: port,
  transport: text,
  anyHost: flag,
  signal: abortSignal,
};

/** Those that these readers are for. */
function part(found: Record<string, unknown>, readers: object): Record<string, unknown> {
  return bare(Object.fromEntries(Object.entries(found).filter(([name]) => Object.hasOwn(readers, name))));
}

/** What a mapper is started with for one wait, and the options of that. */
function asking<T extends object>(
  options: object | AbortSignal | undefined,
  limitReaders: Record<string, Reader>,
): { settings: object; limits: T } {
  const all = { ...SETTING_READERS, ...limitReaders };
  const found = read<object>('options', withSignal(options), all);
  return { settings: part(found, SETTING_READERS), limits: part(found, limitReaders) as T };
}

/** What a probe is given. */
export function familyOf(options: FamilyOptions | AbortSignal | undefined): FamilyOptions {
  return read<FamilyOptions>('options', withSignal(options), PROBE_READERS) as FamilyOptions;
}

/** What the module's `probe` is given. */
export function probing(options: ProbeOptions | AbortSignal | undefined): ReturnType<typeof asking<FamilyOptions>> {
  return asking(options, PROBE_READERS);
}

/** What the module's `externalAddress` is given. */
export function addressing(
  options: ExternalAddressOptions | AbortSignal | undefined,
): ReturnType<typeof asking<WaitOptions>> {
  return asking(options, LIMIT_READERS);
}

/** What `open` is given, for each of those that it is about. */
export function opening(
  port: number,
  options: OpenOptions | AbortSignal | undefined,
): { settings: object; request: object; limits: WaitOptions } {
  const { port: _, ...requestReaders } = REQUEST_READERS;
  const all = { ...SETTING_READERS, ...requestReaders, ...LIMIT_READERS };
  const found = read<OpenOptions>('options', withSignal(options), all);
  return {
    settings: part(found, SETTING_READERS),
    request: request({ ...part(found, requestReaders), port }),
    limits: part(found, LIMIT_READERS),
  };
}

/** The same for a call without a time-out. */
export function signalOf(options: SignalOptions | AbortSignal | undefined): AbortSignal | undefined {
  return (read<SignalOptions>('options', withSignal(options), SIGNAL_READERS) as SignalOptions).signal;
}

/** By what it can do: there are signals of other realms and of polyfills. */
function isSignal(value: unknown): value is AbortSignal {
  const signal = value as Partial<AbortSignal> | null | undefined;
  return typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function';
}

function abortSignal(name: string, value: unknown): AbortSignal {
  if (!isSignal(value)) throw invalid(name, `must be an AbortSignal, not ${shown(value)}`);
  return value;
}

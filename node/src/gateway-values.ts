/** Settings and switches of the simulated gateway: checked, and turned into its JSON and back. */

import { invalid } from './errors';
import { type Faults, type Form, faultForms, type GatewayOptions, gatewayForms } from './gateway-options';
import type { Transport } from './names';
import { checkObject, flag, integer, number, shown, text, timeout } from './options';

/** A mapping as if made in the router's own settings. */
export interface StaticMapping {
  /** `udp` or `tcp`. */
  transport: Transport;
  /** The external port that it takes. */
  externalPort: number;
  /** Where its traffic goes, `address:port`. */
  internal: string;
  /** Milliseconds, rounded up to whole seconds; without it the mapping is permanent. */
  lifetime?: number;
}

/**
 * What the router can say unasked. `pcp`: PCP's ANNOUNCE with the present epoch. `natPmp`: the external address, as NAT-PMP
 * tells it; for IPv4 alone. `ssdpAlive`, `ssdpByebye`: the UPnP devices and services are there, or go.
 */
export type Announcement = 'pcp' | 'natPmp' | 'ssdpAlive' | 'ssdpByebye';

const ANNOUNCEMENTS: Readonly<Record<Announcement, string>> = {
  pcp: 'pcp',
  natPmp: 'nat_pmp',
  ssdpAlive: 'ssdp_alive',
  ssdpByebye: 'ssdp_byebye',
};

type Forms = Readonly<Record<string, Form>>;
type Json = Record<string, unknown>;

/** The gateway counts whole seconds. */
function toSeconds(name: string, value: unknown): number {
  return Math.ceil(timeout(name, value) / 1000);
}

function toWord(name: string, value: unknown, { words = {}, code }: Form): unknown {
  if (typeof value === 'string' && Object.hasOwn(words, value)) return words[value];
  const isCode = code !== undefined && typeof value === 'object' && Object.keys(value ?? {}).join() === code;
  if (isCode) return { [code]: integer(`${name}.${code}`, (value as Json)[code], 65_535) };
  const also = code === undefined ? '' : ` or an object with ${code}`;
  throw invalid(name, `must be one of ${Object.keys(words).join(', ')}${also}, not ${shown(value)}`);
}

function toRecord(name: string, value: unknown, most: number): Json {
  checkObject(name, value);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, integer(`${name}.${key}`, item, most)]));
}

function toJson(name: string, value: unknown, form: Form): unknown {
  if (value === null && form.nullable) return null;
  const { most = Number.MAX_SAFE_INTEGER } = form;
  switch (form.reads) {
    case 'count':
      return integer(name, value, most);
    case 'faults':
      return faultsToJson(value as Faults);
    case 'flag':
      return flag(name, value);
    case 'number':
      return number(name, value);
    case 'record':
      return toRecord(name, value, most);
    case 'seconds':
      return toSeconds(name, value);
    case 'text':
      return text(name, value);
    case 'word':
      return toWord(name, value, form);
  }
}

function allToJson(what: string, values: object, forms: Forms): Json {
  checkObject(what, values);
  const json: Json = {};
  for (const [name, value] of Object.entries(values)) {
    const form = Object.hasOwn(forms, name) ? forms[name] : undefined;
    if (!form) {
      throw invalid(name, `there is no such name in ${what}; there are ${Object.keys(forms).join(', ')}`);
    }
    if (value !== undefined) json[form.name] = toJson(name, value, form);
  }
  return json;
}

/** Switches for the gateway. Throws `invalid`, naming the one that is wrong. */
export function faultsToJson(faults: Faults): Json {
  return allToJson('faults', faults, faultForms);
}

/** Settings for the gateway. Throws `invalid`, naming the one that is wrong. */
export function optionsToJson(options: GatewayOptions): Json {
  return allToJson('options', options, gatewayForms);
}

const MAPPING: Readonly<Record<keyof StaticMapping, Form>> = {
  transport: { name: 'transport', reads: 'word', words: { udp: 'udp', tcp: 'tcp' } },
  externalPort: { name: 'external_port', reads: 'count', most: 65_535 },
  internal: { name: 'internal', reads: 'text' },
  lifetime: { name: 'lifetime', reads: 'seconds' },
};

/** Which entry of the gateway's table is meant. Throws `invalid`, naming the field that is wrong. */
export function entryToJson({ transport, externalPort }: Pick<StaticMapping, 'transport' | 'externalPort'>): Json {
  // Not `allToJson`: what is left out is wrong too.
  return {
    transport: toJson('transport', transport, MAPPING.transport),
    external_port: toJson('externalPort', externalPort, MAPPING.externalPort),
  };
}

/** Which pinhole is meant. Throws `invalid`, naming the field that is wrong. */
export function pinholeToJson({ transport, internal }: Pick<StaticMapping, 'transport' | 'internal'>): Json {
  return {
    transport: toJson('transport', transport, MAPPING.transport),
    internal: toJson('internal', internal, MAPPING.internal),
  };
}

/** An announcement and where to. Throws `invalid`, naming the argument that is wrong. */
export function announcementToJson(what: Announcement, to: string): Json {
  const form: Form = { name: 'what', reads: 'word', words: ANNOUNCEMENTS };
  return { what: toJson('what', what, form), to: text('to', to) };
}

/** A mapping for the gateway's table. Throws `invalid`, naming the field that is wrong. */
export function mappingToJson(mapping: StaticMapping): Json {
  const json = allToJson('mapping', mapping, MAPPING);
  return { ...json, ...entryToJson(mapping), internal: toJson('internal', mapping.internal, MAPPING.internal) };
}

function fromJson(value: unknown, { reads, words = {} }: Form): unknown {
  if (reads === 'seconds' && value !== null) return Number(value) * 1000;
  if (reads !== 'word' || typeof value !== 'string') return value;
  return Object.keys(words).find((word) => words[word] === value);
}

/** Switches out of the gateway's JSON. */
export function faultsFromJson(json: Json): Faults {
  return Object.fromEntries(Object.entries(faultForms).map(([name, form]) => [name, fromJson(json[form.name], form)]));
}

/** What the gateway says, with its options as they are called here. */
export function translated(message: string): string {
  const all = Object.entries({ ...faultForms, ...gatewayForms });
  return message.replace(/[a-z]+(?:_[a-z0-9]+)+/g, (word) => all.find(([, { name }]) => name === word)?.[0] ?? word);
}

/** What the classes tell each other and users do not see. */

import { EventEmitter } from 'node:events';

/** The first argument of constructors that only this package calls. */
export const made = Symbol('made');
/** Has a mapper keep a lease. */
export const keep = Symbol('keep');
/** Tells a mapper that a lease is to end, or has ended. */
export const forget = Symbol('forget');
/** Tells a mapper whether a lease has listeners. */
export const listen = Symbol('listen');
/** Has a mapper give its listeners what has happened up to now. */
export const drain = Symbol('drain');
/** A reader of a mapper's events. */
export const events = Symbol('events');
/** Tells an emitter that its listeners are others now. */
export const attend = Symbol('attend');
/** How `util.inspect` and `console.log` show an object. */
export const inspectable: unique symbol = Symbol.for('nodejs.util.inspect.custom') as never;

/** Throws if a user has called the constructor. */
export function checkMade(key: unknown, name: string, instead: string): void {
  if (key !== made) throw new TypeError(`${name} cannot be constructed: call ${instead}`);
}

type Inspect = (value: unknown, options: object) => string;

/** An object as its name and these fields. */
export function inspected(name: string, fields: object, depth: number, options: object, inspect: Inspect): string {
  return depth < 0 ? `[${name}]` : `${name} ${inspect(fields, { ...options, depth: Math.max(depth, 1) })}`;
}

const LISTENER_METHODS = [
  'on',
  'addListener',
  'prependListener',
  'once',
  'prependOnceListener',
  'off',
  'removeListener',
  'removeAllListeners',
] as const;

/** An emitter that hears when its listeners change. */
export abstract class Attentive<T extends Record<keyof T, unknown[]>> extends EventEmitter<T> {
  /** @internal */
  abstract [attend](): void;

  static {
    // Every way to add and to remove a listener. Some call others, which does no harm.
    for (const name of LISTENER_METHODS) {
      const method = EventEmitter.prototype[name] as (...args: unknown[]) => unknown;
      const value = function (this: Attentive<Record<string, unknown[]>>, ...args: unknown[]): unknown {
        method.apply(this, args);
        this[attend]();
        return this;
      };
      Object.defineProperty(Attentive.prototype, name, { value, writable: true, configurable: true });
    }
  }
}

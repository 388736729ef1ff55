/** Finds and loads the addon: one `.node` file for each platform, in a package of its own. */

import { existsSync } from 'node:fs';
// The default import: webpack warns of what it cannot follow if `createRequire` is imported by its name.
import nodeModule from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { load as installed } from './binaries.cjs';
import { PortLeaseError } from './errors';
import { here } from './here';
import type * as Native from './native';
import { VERSION } from './version';

/** The addon's exports. */
export type Addon = typeof Native;

/** Names a `.node` file that is loaded in place of the installed one. */
const OVERRIDE = 'PORTLEASE_NATIVE';
/** Where a build from source puts the addon; not in the published package. */
const BUILT_HERE = '../native/portlease.node';
const ELSEWHERE = `name a .node file in the environment variable ${OVERRIDE}`;

/** What to do is in the message too: a program may show nothing else. */
function unavailable(message: string, advice: string, cause?: unknown): PortLeaseError {
  return new PortLeaseError('unavailable', `${message}; ${advice}`, { advice, cause });
}

/** One line: Node adds the stack of `require` calls to some messages. */
function reason(error: unknown): string {
  return String((error as Error)?.message ?? error).split('\n')[0] ?? '';
}

function required(require: NodeJS.Require, file: string): Addon {
  try {
    const found = require(file) as Partial<Addon>;
    if (typeof found.version !== 'function') throw new Error('it is no addon of portlease');
    return found as Addon;
  } catch (error) {
    const advice = `correct or unset the environment variable ${OVERRIDE}, or build the addon anew`;
    throw unavailable(`the addon ${file} cannot be loaded: ${reason(error)}`, advice, error);
  }
}

/** A package that is there and does not work says more than one that is not there. */
function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  // A bundle's own `require` has no codes, or there is none.
  return code === 'MODULE_NOT_FOUND' ? message.includes(name) : code !== 'ERR_DLOPEN_FAILED';
}

function packaged(require: NodeJS.Require): Addon {
  const tried: string[] = [];
  let failure: { name: string; error: unknown } | undefined;
  let first: unknown;
  const failed = (name: string, error: unknown): void => {
    tried.push(name);
    first ??= error;
    if (!isMissing(error, name)) failure ??= { name, error };
  };
  const found = installed(failed) as Addon | undefined;
  if (found) return found;
  // In a bundle of ES modules there is no `require`, so the packages are looked for beside the bundle.
  for (const name of [...tried]) {
    try {
      return require(name) as Addon;
    } catch (error) {
      failed(name, error);
    }
  }
  if (failure) {
    const { name, error } = failure;
    const advice = `install portlease again on this machine, or ${ELSEWHERE}`;
    throw unavailable(`the package ${name} cannot be loaded: ${reason(error)}`, advice, error);
  }
  const machine = `${process.platform}-${process.arch}`;
  if (tried.length === 0) {
    throw unavailable(`portlease has no binary for ${machine}`, `build one from source and ${ELSEWHERE}`);
  }
  throw unavailable(
    `portlease's binary for this machine is missing: the package ${fitting(tried)}, an optional dependency, is not installed`,
    `install portlease ${VERSION} again on this machine without --omit=optional, keep that package outside of a bundle, ` +
      `or ${ELSEWHERE}`,
    first,
  );
}

/** Which of the packages is the right one: on Linux that depends on the C library. Only for messages: asking takes long. */
function fitting(names: readonly string[]): string {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  const ending = report?.header?.glibcVersionRuntime ? '-gnu' : '-musl';
  return names.find((name) => name.endsWith(ending)) ?? names[0] ?? '';
}

function load(): Addon {
  const require = nodeModule.createRequire(here);
  const override = process.env[OVERRIDE];
  if (override) return required(require, resolve(override));
  const built = new URL(BUILT_HERE, here.startsWith('file:') ? here : pathToFileURL(here));
  return existsSync(built) ? required(require, BUILT_HERE) : packaged(require);
}

let loaded: Addon | undefined;

/**
 * The addon, loaded at the first call: a program that only imports the package runs without it. Throws `unavailable`
 * if it is not there or cannot be loaded, and looks again at the next call.
 */
export function addon(): Addon {
  if (loaded) return loaded;
  const found = load();
  const version = found.version();
  if (version !== VERSION) {
    const advice = `install portlease ${VERSION} and what it depends on anew`;
    throw unavailable(`portlease is of version ${VERSION}, its binary of ${version}`, advice);
  }
  loaded = found;
  return found;
}

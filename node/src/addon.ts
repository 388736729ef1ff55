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

function unavailable(message: string, cause?: unknown): PortLeaseError {
  return new PortLeaseError('unavailable', message, { cause });
}

/** One line: Node adds the stack of `require` calls to some messages. */
function reason(error: unknown): string {
  return String((error as Error)?.message ?? error).split('\n')[0] ?? '';
}

function required(require: NodeJS.Require, file: string): Addon {
  try {
    return require(file) as Addon;
  } catch (error) {
    throw unavailable(`the addon ${file} cannot be loaded: ${reason(error)}`, error);
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
    throw unavailable(`the package ${name} cannot be loaded: ${reason(error)}; install again on this machine`, error);
  }
  const machine = `${process.platform}-${process.arch}`;
  if (tried.length === 0) {
    throw unavailable(`portlease has no binary for ${machine}; build one from source and ${ELSEWHERE}`);
  }
  const names = [...new Set(tried)].join(' or ');
  throw unavailable(
    `portlease's binary for ${machine} is missing: the package ${names}, an optional dependency, is not installed; ` +
      `install version ${VERSION} on this machine without --omit=optional, keep it outside of a bundle, or ${ELSEWHERE}`,
    first,
  );
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
    throw unavailable(
      `portlease is of version ${VERSION}, its binary of ${version}; install both anew, in the same version`,
    );
  }
  loaded = found;
  return found;
}

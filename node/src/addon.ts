/** Finds and loads the addon: one `.node` file for each platform, in a package of its own. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type * as Native from './native';

/** The addon's exports. */
export type Addon = typeof Native;

/** Names a `.node` file that is loaded in place of the installed one. */
const OVERRIDE = 'PORTLEASE_NATIVE';
const ROOT = join(__dirname, '..');
/** Where a build from source puts the addon; not in the published package. */
const BUILT_HERE = join(ROOT, 'native', 'portlease.node');

interface Manifest {
  version: string;
  optionalDependencies?: Record<string, string>;
}

const manifest: Manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

/** An error of the installation, not of port mapping. */
class AddonError extends Error {
  readonly code = 'ERR_PORTLEASE_ADDON';

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'PortLeaseAddonError';
  }
}

/** The packages that can serve this machine. Linux has two C libraries; npm installs the one that fits. */
function candidates(): string[] {
  const machine = `${process.platform}-${process.arch}`;
  const suffixes = process.platform === 'linux' ? ['-gnu', '-musl'] : process.platform === 'win32' ? ['-msvc'] : [''];
  return suffixes.map((suffix) => `@portlease/${machine}${suffix}`);
}

/** Which of them it is, for the error message alone: asking takes long. */
function wanted(): string {
  const [first = '', second] = candidates();
  const header = (process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined)?.header;
  return second && !header?.glibcVersionRuntime ? second : first;
}

function isMissing(error: unknown, name: string): boolean {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'MODULE_NOT_FOUND' && message.includes(name);
}

function required(file: string): Addon {
  try {
    return require(file) as Addon;
  } catch (error) {
    throw new AddonError(`the addon ${file} cannot be loaded: ${(error as Error).message}`, error);
  }
}

function installed(): Addon {
  let failure: unknown;
  for (const name of candidates()) {
    try {
      return require(name) as Addon;
    } catch (error) {
      if (!isMissing(error, name)) failure ??= error;
    }
  }
  const name = wanted();
  if (failure) throw new AddonError(`the package ${name} cannot be loaded: ${(failure as Error).message}`, failure);
  const known = Object.keys(manifest.optionalDependencies ?? {});
  if (known.length > 0 && !known.includes(name)) {
    throw new AddonError(
      `portlease has no binary for this machine: there is no package ${name}, only ${known.join(', ')}; ` +
        `build one from source and name it in ${OVERRIDE}`,
    );
  }
  throw new AddonError(
    `portlease's binary for this machine is missing: the package ${name}@${manifest.version}, an optional dependency, ` +
      'is not installed. npm leaves it out with --omit=optional or --no-optional, and where node_modules or the lock ' +
      `file came from another platform; install again on this machine, or name a .node file in ${OVERRIDE}`,
  );
}

function load(): Addon {
  const override = process.env[OVERRIDE];
  const addon = override ? required(override) : existsSync(BUILT_HERE) ? required(BUILT_HERE) : installed();
  const version = addon.version();
  if (version !== manifest.version) {
    throw new AddonError(`the addon is of version ${version}, the package portlease of ${manifest.version}`);
  }
  return addon;
}

export const addon: Addon = load();

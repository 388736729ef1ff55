// The package as npm installs it: packed, and put into an empty project.

import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a program with nothing on the path but Node's own folder and the system's, and nothing of ours in the environment. */
export async function run(command, args, { env = {}, cwd } = {}) {
  const PATH = `${join(process.execPath, '..')}:/usr/bin:/bin`;
  const clean = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|PORTLEASE|CARGO|RUST|NODE_OPTIONS)/i.test(name),
  );
  return promisify(execFile)(command, args, {
    cwd,
    timeout: 60_000,
    killSignal: 'SIGKILL',
    env: { ...Object.fromEntries(clean), PATH, ...env },
  });
}

const newFolder = () => mkdtempSync(join(tmpdir(), 'portlease-package-'));

async function pack(folder, ...options) {
  const { stdout } = await run(process.execPath, [join(root, 'scripts/pack.mjs'), folder, ...options], { cwd: root });
  const { main, binaries } = JSON.parse(stdout);
  const [[platform, binary]] = Object.entries(binaries);
  return { main, binary, platform };
}

function newProject(folder) {
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true }');
  return project;
}

/** A new folder with a project in which the package and that of this machine's addon are installed. */
export async function install() {
  const folder = newFolder();
  const tarballs = await pack(folder);
  const project = newProject(folder);
  // No network: everything that is needed is in the two files.
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', tarballs.main, tarballs.binary], {
    cwd: project,
  });
  return { folder, project, tarballs, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The same without npm, which takes long: the packages are laid out as npm does it, see package.test. */
export async function layOut() {
  const folder = newFolder();
  const modules = join(newProject(folder), 'node_modules');
  const { platform } = await pack(modules, '--unpacked');
  return {
    folder,
    project: join(modules, '..'),
    platform,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

// Packs what is published: the package `portlease` and the package of the addon for one platform, both of one version.
//   node scripts/pack.mjs FOLDER [--platform=linux-x64-gnu] [--native=FILE] [--unpacked]
// Default: this machine's platform, and the addon that `npm run build` has made. Prints the two files' names; with
// --unpacked the two folders, as npm installs them.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

/** npm packs no file of such a name by itself. */
const LICENCES = ['LICENSE-MIT', 'LICENSE-APACHE'];

/** For which machines there is a package. */
const PLATFORMS = {
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'win32-x64-msvc': { os: ['win32'], cpu: ['x64'] },
};

function thisPlatform() {
  const machine = `${process.platform}-${process.arch}`;
  if (process.platform === 'win32') return `${machine}-msvc`;
  if (process.platform !== 'linux') return machine;
  return `${machine}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { platform: { type: 'string' }, native: { type: 'string' }, unpacked: { type: 'boolean' } },
});
const [folder] = positionals;
const platform = values.platform ?? thisPlatform();
if (!folder || !PLATFORMS[platform]) {
  console.error(`usage: pack.mjs FOLDER [--platform=${Object.keys(PLATFORMS).join('|')}] [--native=FILE]`);
  process.exit(2);
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
// What all packages say of themselves.
const { version, homepage, bugs, author, license, repository, engines, publishConfig } = manifest;
const common = { version, homepage, bugs, author, license, repository, engines, publishConfig };
const nameOf = (platform) => `@portlease/${platform}`;

/** The version of the crates, which all packages have. */
function crateVersion() {
  const [, found] =
    readFileSync(join(root, '../Cargo.toml'), 'utf8').match(/\[workspace\.package\]\nversion = "(.*)"/) ?? [];
  return found;
}

if (version !== crateVersion()) {
  console.error(`package.json is of version ${version}, the crates are of ${crateVersion()}`);
  process.exit(1);
}

/** Lays a package out and packs it; the name of the file, or of the folder. */
function pack(name, manifest, fill) {
  const stage = resolve(folder, name);
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  fill(stage);
  for (const licence of LICENCES) copyFileSync(join(root, '..', licence), join(stage, licence));
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  if (values.unpacked) return stage;
  const done = spawnSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', resolve(folder)], {
    cwd: stage,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (done.status !== 0) throw new Error(`npm pack ended with ${done.status ?? done.error?.message}`);
  const packed = JSON.parse(done.stdout);
  const [{ filename }] = Array.isArray(packed) ? packed : Object.values(packed);
  return resolve(folder, filename.replace('@', '').replace('/', '-'));
}

// The folder itself is private: it has neither licences nor the packages of the addon.
const { private: _, scripts: __, devDependencies: ___, ...published } = manifest;
const optionalDependencies = Object.fromEntries(Object.keys(PLATFORMS).map((one) => [nameOf(one), version]));
const files = [...published.files, ...LICENCES];
const main = pack('portlease', { ...published, files, optionalDependencies }, (stage) => {
  for (const part of ['dist', 'bin']) cpSync(join(root, part), join(stage, part), { recursive: true });
  copyFileSync(join(root, 'README.md'), join(stage, 'README.md'));
});
const binary = pack(
  nameOf(platform),
  {
    name: nameOf(platform),
    description: `The addon of portlease for ${platform}`,
    ...common,
    main: 'portlease.node',
    files: ['portlease.node', ...LICENCES],
    ...PLATFORMS[platform],
  },
  (stage) => {
    copyFileSync(values.native ?? join(root, 'native/portlease.node'), join(stage, 'portlease.node'));
    writeFileSync(
      join(stage, 'README.md'),
      `# ${nameOf(platform)}\n\nThe addon of [portlease](https://www.npmjs.com/package/portlease) for ${platform}. ` +
        'Install `portlease`; npm adds this package where it fits.\n',
    );
  },
);
console.log(JSON.stringify({ main, binary, platform: nameOf(platform) }));

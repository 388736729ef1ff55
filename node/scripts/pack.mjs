// Packs what is published: the package `portlease` and the addon's package for each platform, all of one version.
//   node scripts/pack.mjs FOLDER [PLATFORM=FILE ...] [--third-party=FILE] [--unpacked]
// FILE is the addon. Default: this machine's platform, and the addon that `npm run build` has made. --third-party names the
// licences of what is linked into the addons, which their packages then have too. Prints the names of the tarballs; with
// --unpacked those of the folders, as npm installs them.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

/** npm packs no file of such a name by itself. */
const LICENCES = ['LICENSE-MIT', 'LICENSE-APACHE'];
const THIRD_PARTY = 'THIRD-PARTY.txt';

/** For which machines there is a package. */
const PLATFORMS = {
  'linux-x64-gnu': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-musl': { os: ['linux'], cpu: ['x64'], libc: ['musl'] },
  'linux-arm64-gnu': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'linux-arm64-musl': { os: ['linux'], cpu: ['arm64'], libc: ['musl'] },
  'darwin-x64': { os: ['darwin'], cpu: ['x64'] },
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
  'win32-x64': { os: ['win32'], cpu: ['x64'] },
};

function thisPlatform() {
  const machine = `${process.platform}-${process.arch}`;
  if (process.platform !== 'linux') return machine;
  return `${machine}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'third-party': { type: 'string' }, unpacked: { type: 'boolean' } },
});
const [folder, ...given] = positionals;
const thirdParty = values['third-party'];
const addons = given.length
  ? given.map((one) => one.split('='))
  : [[thisPlatform(), join(root, 'native/portlease.node')]];
if (!folder || !addons.every(([platform, file]) => PLATFORMS[platform] && file)) {
  console.error(
    `usage: pack.mjs FOLDER [${Object.keys(PLATFORMS).join('|')}=FILE ...] [--third-party=FILE] [--unpacked]`,
  );
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

function packAddon([platform, file]) {
  const name = nameOf(platform);
  const description = `The addon of portlease for ${platform}`;
  const files = ['portlease.node', ...LICENCES, ...(thirdParty ? [THIRD_PARTY] : [])];
  const manifest = { name, description, ...common, main: 'portlease.node', files, ...PLATFORMS[platform] };
  const packed = pack(name, manifest, (stage) => {
    copyFileSync(file, join(stage, 'portlease.node'));
    if (thirdParty) copyFileSync(thirdParty, join(stage, THIRD_PARTY));
    writeFileSync(
      join(stage, 'README.md'),
      `# ${name}\n\nThe addon of [portlease](https://www.npmjs.com/package/portlease) for ${platform}. ` +
        'Install `portlease`; npm adds this package where it fits.\n',
    );
  });
  return [name, packed];
}

console.log(JSON.stringify({ main, binaries: Object.fromEntries(addons.map(packAddon)) }));

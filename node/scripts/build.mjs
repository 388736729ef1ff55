// Builds the package from source: the addon (Rust) into native/, the typed layer into dist/.
//   PORTLEASE_PROFILE=dev   a debug build of the addon; default: release
//   PORTLEASE_NATIVE=FILE   no build of the addon: the one that is named serves
//   CARGO, CARGO_TARGET_DIR as ever
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const crate = join(root, '../bindings/node');
const dist = join(root, 'dist');

/** For ES modules: a bundle of CommonJS has no URL of its own. */
const HERE = `export const here = import.meta.url ?? (typeof __filename === 'string' ? __filename : process.execPath);\n`;

function run(command, args, options = {}) {
  const done = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    ...options,
  });
  if (done.status === 0) return;
  console.error(`portlease: ${command} ${args.join(' ')} failed: ${done.error?.message ?? `status ${done.status}`}`);
  process.exit(1);
}

/** The file that cargo makes of the crate. */
function library() {
  const names = { darwin: 'libportlease_node.dylib', win32: 'portlease_node.dll' };
  return names[process.platform] ?? 'libportlease_node.so';
}

function buildAddon() {
  if (process.env.PORTLEASE_NATIVE) return;
  const profile = process.env.PORTLEASE_PROFILE ?? 'release';
  run(process.env.CARGO ?? 'cargo', ['build', '--locked', '-p', 'portlease-node', '--profile', profile], {
    cwd: crate,
  });
  const target = resolve(crate, process.env.CARGO_TARGET_DIR ?? '../../target');
  mkdirSync(join(root, 'native'), { recursive: true });
  // A new file: a process that has the old one loaded keeps it.
  rmSync(join(root, 'native/portlease.node'), { force: true });
  const folder = profile === 'dev' ? 'debug' : profile;
  copyFileSync(join(target, folder, library()), join(root, 'native/portlease.node'));
}

/** The compiler of this package, installed where somebody builds from a fresh clone. */
function compiler() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  if (!existsSync(tsc)) {
    // npm runs this script with its own settings in the environment; they are about another folder.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^npm_(config|package|lifecycle)_/i.test(name)),
    );
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { env });
  }
  return tsc;
}

function compile(...options) {
  run(process.execPath, [compiler(), '--project', root, ...options]);
}

/** The modules once more, as ES modules beside those of CommonJS: `open.js` and `open.mjs`. */
function writeModules() {
  const folder = join(dist, 'esm');
  compile('--module', 'es2022', '--moduleResolution', 'bundler', '--declaration', 'false', '--outDir', folder);
  for (const name of readdirSync(folder)) {
    const code = readFileSync(join(folder, name), 'utf8').replaceAll(/(from|import) '(\.\/[\w-]+)';/g, "$1 '$2.mjs';");
    writeFileSync(join(dist, name.replace(/\.js$/, '.mjs')), name === 'here.js' ? HERE : code);
  }
  rmSync(folder, { recursive: true });
}

/** The types of the entries for ES modules: the same as those for CommonJS, so that values of both fit each other. */
function writeTypes() {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const { import: entry } of Object.values(exports).filter((entry) => entry.import)) {
    const common = entry.types.replace('.d.mts', '.d.ts').replace('dist/', '');
    const [, main] = readFileSync(join(dist, common), 'utf8').match(/^export default (\w+);/m) ?? [];
    const from = `from '${common.replace('.d.ts', '.js')}';\n`;
    const types = `export * ${from}`;
    writeFileSync(join(root, entry.types), main ? `${types}export { ${main} as default } ${from}` : types);
  }
}

function buildTypescript() {
  rmSync(dist, { recursive: true, force: true });
  compile();
  for (const name of ['native.d.ts', 'binaries.cjs']) copyFileSync(join(root, 'src', name), join(dist, name));
  writeModules();
  writeTypes();
}

if (!process.argv.includes('--no-addon')) buildAddon();
buildTypescript();

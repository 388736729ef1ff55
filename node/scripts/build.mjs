// Builds the package from source: the addon (Rust) into native/, the typed layer into dist/.
//   PORTLEASE_PROFILE=dev   a debug build of the addon; default: release
//   PORTLEASE_NATIVE=FILE   no build of the addon: the one that is named serves
//   CARGO, CARGO_TARGET_DIR as ever
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const crate = join(root, '../bindings/node');
const dist = join(root, 'dist');

/** What the entry also exports by default, as the module does whose place it takes. */
const DEFAULTS = { './nat-api': 'NatAPI' };

/** Not `import common from`: where the addon is missing, a program could not catch that error (Node 20). */
const HEAD = "import { createRequire } from 'node:module';\n\n";

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

/** ES modules see the CommonJS build: there is one addon and one class of each name, however it is loaded. */
function writeModules() {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  for (const [path, entry] of Object.entries(manifest.exports)) {
    if (typeof entry === 'string') continue;
    const common = entry.require.default.replace('./dist/', './');
    // Its names, without loading the addon: what TypeScript's `export` has left in the file.
    const source = readFileSync(join(dist, common), 'utf8');
    const names = [
      ...source.matchAll(/^(?:Object\.defineProperty\(exports, "(\w+)", \{ enumerable|exports\.(\w+) = (?!void 0))/gm),
    ];
    const all = [...new Set(names.map(([, one, other]) => one ?? other))].sort();
    if (all.length === 0) throw new Error(`${common} exports nothing`);
    const list = all.map((name) => `  ${name},\n`).join('');
    const main = DEFAULTS[path];
    const code = `${HEAD}export const {\n${list}} = createRequire(import.meta.url)('${common}');\n`;
    writeFileSync(join(root, entry.import.default), main ? `${code}export default ${main};\n` : code);
    const types = `export * from '${common}';\n`;
    writeFileSync(
      join(root, entry.import.types),
      main ? `${types}export { ${main} as default } from '${common}';\n` : types,
    );
  }
}

function buildTypescript() {
  rmSync(dist, { recursive: true, force: true });
  run(process.execPath, [compiler(), '--project', root]);
  copyFileSync(join(root, 'src/native.d.ts'), join(dist, 'native.d.ts'));
  writeModules();
}

if (!process.argv.includes('--no-addon')) buildAddon();
buildTypescript();

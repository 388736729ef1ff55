// Writes src/native.d.ts: the types of the addon, as its own sources declare them.
//   node scripts/native-types.mjs          writes the file
//   node scripts/native-types.mjs --check  fails where it is not as it would be written
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const crate = fileURLToPath(new URL('../../bindings/node/', import.meta.url));
const file = fileURLToPath(new URL('../src/native.d.ts', import.meta.url));

/** What napi-derive says while it expands the sources: one JSON object a line. */
function declarations() {
  const folder = mkdtempSync(join(tmpdir(), 'portlease-types-'));
  try {
    // The declarations come with the expansion, so the crate must look changed.
    utimesSync(join(crate, 'src/lib.rs'), new Date(), new Date());
    const done = spawnSync(process.env.CARGO ?? 'cargo', ['check', '--quiet', '-p', 'portlease-node'], {
      cwd: crate,
      env: { ...process.env, NAPI_TYPE_DEF_TMP_FOLDER: folder },
      stdio: 'inherit',
    });
    if (done.status !== 0) throw new Error(`cargo check ended with ${done.status ?? done.error?.message}`);
    const lines = readFileSync(join(folder, 'portlease-node'), 'utf8').trim().split('\n');
    return lines.map((line) => JSON.parse(line));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function indented(text) {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.map((line) => (line ? `  ${line.startsWith('*') ? ' ' : ''}${line}\n` : '')).join('');
}

function written(all) {
  const members = new Map();
  for (const { kind, name, def } of all) if (kind === 'impl') members.set(name, def);
  const texts = all.flatMap(({ kind, name, js_doc: doc, def }) => {
    if (kind === 'fn') return [`${doc}export declare ${def};\n`];
    if (kind === 'interface') return [`${doc}export interface ${name} {\n${indented(def)}}\n`];
    if (kind === 'struct') return [`${doc}export declare class ${name} {\n${indented(members.get(name) ?? '')}}\n`];
    return [];
  });
  return `// Written by scripts/native-types.mjs out of bindings/node/src; not for editing.\n\n${texts.sort().join('\n')}`;
}

const text = written(declarations());
if (process.argv.includes('--check')) {
  if (readFileSync(file, 'utf8') !== text) {
    console.error('src/native.d.ts is not what bindings/node declares: run `npm run native-types`');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, text);
}

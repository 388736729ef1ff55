// The package as npm installs it: packed, put into an empty project, and used there without Rust.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { install, root, run as runApart } from './project.mjs';

const consumers = join(root, 'test/consumers/node_modules');
const NODE = process.execPath;

let folder;
let project;
let tarballs;
let installed;

/** Runs a program in the project. */
const run = (command, args, options) => runApart(command, args, { cwd: project, ...options });

/** Runs a program of the project's own, which must print one line. */
async function node(code, { kind = 'module', ...options } = {}) {
  const { stdout } = await run(NODE, [`--input-type=${kind}`, '--eval', code], options);
  return stdout.trim();
}

before(async () => {
  installed = await install();
  ({ folder, project, tarballs } = installed);
});
after(() => installed.remove());

const MAPS = `const gateway = await Gateway.start();
const port = await open(9001, gateway.config);
console.log(String(port.snapshot().external));
await port.stop();
await gateway.stop();`;

describe('the installed package', () => {
  it('is imported', async () => {
    const code = `import { open } from 'portlease'; import { Gateway } from 'portlease/testing'; ${MAPS}`;
    assert.equal(await node(code), '192.0.1.1:9001');
  });

  it('is required', async () => {
    const code = `const { open } = require('portlease'); const { Gateway } = require('portlease/testing'); (async () => { ${MAPS} })();`;
    assert.equal(await node(code, { kind: 'commonjs' }), '192.0.1.1:9001');
  });

  it('has the command line', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const { stdout } = await run('npx', ['--offline', 'portlease', '--version']);
    assert.equal(stdout.trim(), `portlease ${version}`);
    const demo = await run(join(project, 'node_modules/.bin/portlease'), ['demo']);
    assert.match(demo.stdout, /released: the router's table is empty again/);
    const wrong = await run(join(project, 'node_modules/.bin/portlease'), ['map', 'x']).then(
      assert.fail,
      (error) => error,
    );
    assert.equal(wrong.code, 2);
  });

  it('has one version, and its platform package the same', () => {
    const manifest = (name) => JSON.parse(readFileSync(join(project, 'node_modules', name, 'package.json'), 'utf8'));
    const main = manifest('portlease');
    assert.equal(main.scripts, undefined);
    assert.match(readFileSync(join(root, 'dist/version.js'), 'utf8'), new RegExp(`'${main.version}'`));
    assert.equal(manifest(tarballs.platform).version, main.version);
    assert.ok(Object.values(main.optionalDependencies).every((version) => version === main.version));
    assert.equal(manifest(tarballs.platform).os.length, 1);
  });

  it('tells where it comes from, where to ask and how it is published, and its platform package too', () => {
    for (const name of ['portlease', tarballs.platform]) {
      const manifest = JSON.parse(readFileSync(join(project, 'node_modules', name, 'package.json'), 'utf8'));
      for (const field of ['homepage', 'bugs', 'author', 'license', 'repository', 'description', 'engines']) {
        assert.ok(manifest[field], `${name}: ${field}`);
      }
      assert.deepEqual(manifest.publishConfig, { access: 'public', provenance: true });
      assert.equal(manifest.private, undefined);
    }
    for (const folder of ['.', 'test/consumers', 'test/bundlers']) {
      assert.equal(JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')).private, true, folder);
    }
  });

  it('names the package of each platform where bundlers find it', () => {
    const names = readFileSync(join(root, 'dist/binaries.cjs'), 'utf8').matchAll(/require\('(.*)'\)/g);
    const { optionalDependencies } = JSON.parse(
      readFileSync(join(project, 'node_modules/portlease/package.json'), 'utf8'),
    );
    assert.deepEqual([...names].map(([, name]) => name).sort(), Object.keys(optionalDependencies).sort());
  });

  it('has its licences with it, and its platform package too', () => {
    for (const name of ['portlease', tarballs.platform]) {
      for (const licence of ['LICENSE-MIT', 'LICENSE-APACHE']) {
        assert.ok(statSync(join(project, 'node_modules', name, licence)).size > 0);
      }
    }
  });

  it('is small', (t) => {
    const size = (name) => statSync(join(project, 'node_modules', name)).size;
    const binary = size(`${tarballs.platform}/portlease.node`);
    t.diagnostic(
      `binary ${(binary / 2 ** 20).toFixed(2)} MiB, packed ${(statSync(tarballs.binary).size / 2 ** 20).toFixed(2)} MiB`,
    );
    assert.ok(binary < 6 * 2 ** 20, `${binary}`);
  });
});

describe('without its binary the package', () => {
  const missing = () => join(project, 'node_modules', tarballs.platform);
  before(() => renameSync(missing(), join(folder, 'hidden')));
  after(() => renameSync(join(folder, 'hidden'), missing()));

  const TRY = `const said = [];
    const say = (error) => {
      const { kind, code, advice, message } = error;
      said.push([kind, code, error instanceof PortLeaseError && message.endsWith(advice), message]);
    };
    try { Mapper.start(); } catch (error) { say(error); }`;

  it('is imported and required all the same, and says at the first call what is missing and what to do', async () => {
    const [names, gateway] = ['{ Mapper, open, PortLeaseError }', '{ Gateway }'];
    const calls = 'open(9001).catch(say).then(() => Gateway.start()).catch(say)';
    const code = `${TRY} ${calls}.then(() => console.log(JSON.stringify(said)));`;
    const imported = await node(
      `import ${names} from 'portlease'; import ${gateway} from 'portlease/testing'; ${code}`,
    );
    const both = `const ${names} = require('portlease'); const ${gateway} = require('portlease/testing');`;
    const required = await node(`${both} ${code}`, { kind: 'commonjs' });
    const all = [...JSON.parse(imported), ...JSON.parse(required)];
    assert.equal(all.length, 6);
    for (const said of all) {
      const message = said.pop();
      assert.deepEqual(said, ['unavailable', 'ERR_PORTLEASE_UNAVAILABLE', true]);
      for (const part of [tarballs.platform, '--omit=optional', 'on this machine', 'PORTLEASE_NATIVE']) {
        assert.ok(message.includes(part), message);
      }
    }
  });

  it('says so on the command line, without a stack', async () => {
    const program = join(project, 'node_modules/.bin/portlease');
    const { code, stderr } = await run(program, ['demo']).then(assert.fail, (error) => error);
    assert.equal(code, 1);
    assert.match(stderr, /^portlease: portlease's binary for this machine is missing: .*\n$/);
  });

  it('says why a binary that is there cannot be loaded', async () => {
    mkdirSync(missing());
    try {
      writeFileSync(join(missing(), 'package.json'), '{ "main": "portlease.node" }');
      writeFileSync(join(missing(), 'portlease.node'), 'no binary');
      const [[kind, , , message]] = JSON.parse(
        await node(`import { Mapper, PortLeaseError } from 'portlease'; ${TRY} console.log(JSON.stringify(said))`),
      );
      assert.equal(kind, 'unavailable');
      assert.match(message, new RegExp(`^the package ${tarballs.platform} cannot be loaded: .*portlease.node`));
    } finally {
      rmSync(missing(), { recursive: true });
    }
  });

  it('takes the file that PORTLEASE_NATIVE names', async () => {
    const code = `import { open } from 'portlease'; import { Gateway } from 'portlease/testing'; ${MAPS}`;
    const PORTLEASE_NATIVE = join(folder, 'hidden/portlease.node');
    assert.equal(await node(code, { env: { PORTLEASE_NATIVE } }), '192.0.1.1:9001');
    const failure = await node(code, { env: { PORTLEASE_NATIVE: '/none.node' } }).then(assert.fail, (error) => error);
    assert.match(failure.stderr, /PortLeaseError: the addon \/none\.node cannot be loaded/);
    const other = join(project, 'node_modules/portlease/package.json');
    const wrong = await node(code, { env: { PORTLEASE_NATIVE: other } }).then(assert.fail, (error) => error);
    assert.match(
      wrong.stderr,
      /PortLeaseError: the addon .*package\.json cannot be loaded: it is no addon of portlease/,
    );
  });
});

it('a binary of another version is `unavailable`', async () => {
  const file = join(project, 'node_modules/portlease/dist/version.mjs');
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace(" = '", " = '9."));
  try {
    const code =
      "import { Mapper } from 'portlease'; try { Mapper.start(); } catch ({ kind, message }) { console.log(kind, message); }";
    assert.match(await node(code), /^unavailable portlease is of version 9\..*, its binary of /);
  } finally {
    writeFileSync(file, text);
  }
});

describe('the types', { concurrency: 2 }, () => {
  const example = readFileSync(join(root, 'test/types/every-type.ts'), 'utf8');

  before(() => {
    mkdirSync(join(project, 'node_modules/@types'), { recursive: true });
    for (const name of ['@types/node', 'undici-types']) {
      symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
    }
  });

  for (const [kind, name] of Object.entries({ 'an ES module': 'example.mts', CommonJS: 'example.cts' })) {
    it(`are right in ${kind}, which runs`, { timeout: 60_000 }, async () => {
      const source = join(project, name);
      writeFileSync(source, example);
      const strict = ['--strict', '--exactOptionalPropertyTypes'];
      const options = [...strict, '--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--types', 'node'];
      const all = [...options, '--module', 'node16', '--noEmitOnError', 'true', '--skipLibCheck', 'false', source];
      await run(NODE, [join(root, 'node_modules/typescript/bin/tsc'), ...all]).catch(({ stdout }) =>
        assert.fail(stdout),
      );
      const { stdout } = await run(NODE, [source.replace('ts', 'js')]);
      assert.equal(stdout.trim(), 'every type used');
    });
  }

  it('are right for a program that is compiled for an older ECMAScript', { timeout: 60_000 }, async () => {
    const source = join(project, 'older.mts');
    const all = ['portlease', 'portlease/testing', 'portlease/nat-api', 'portlease/nat-upnp', 'portlease/libp2p'];
    writeFileSync(source, all.map((name, index) => `export * as all${index} from '${name}';\n`).join(''));
    const options = ['--strict', '--noEmit', '--target', 'es2020', '--types', 'node', '--module', 'node16'];
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    await run(NODE, [tsc, ...options, '--skipLibCheck', 'false', source]).catch(({ stdout }) => assert.fail(stdout));
  });

  it('have a use in the example, each of them', () => {
    for (const entry of ['index', 'testing', 'nat-api', 'nat-upnp', 'libp2p']) {
      const source = readFileSync(join(root, `src/${entry}.ts`), 'utf8');
      const lists = [...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names]) => names.split(','));
      const own = [...source.matchAll(/^export (?:class|function|interface|type|const) (\w+)/gm)].map(
        ([, name]) => name,
      );
      const names = [...lists.map((name) => name.replace('type ', '').trim()).filter(Boolean), ...own];
      assert.ok(names.length > 0, entry);
      for (const name of names) assert.ok(example.match(new RegExp(`\\b${name}\\b`, 'g'))?.length >= 2, name);
    }
  });

  it('resolve for everybody (arethetypeswrong)', { timeout: 60_000 }, async () => {
    const attw = join(consumers, '@arethetypeswrong/cli/dist/index.js');
    await run(NODE, [attw, tarballs.main, '--no-color']).catch(({ stdout }) => assert.fail(stdout));
  });

  it('and everything else are as publint wants it', async () => {
    const stage = join(folder, 'portlease');
    await run(NODE, [join(consumers, 'publint/src/cli.js'), stage, '--strict', '--pack', 'false']).catch(
      ({ stdout, stderr }) => assert.fail(stdout + stderr),
    );
  });

  it('fit where libp2p and webtorrent want them', { timeout: 60_000 }, async () => {
    const source = join(project, 'fits.mts');
    writeFileSync(
      source,
      `import type { UPnPNATInit } from '@libp2p/upnp-nat';
       import { portMappingClient } from 'portlease/libp2p';
       export const init: UPnPNATInit = { portMappingClient: portMappingClient() };\n`,
    );
    for (const name of [
      '@libp2p',
      '@achingbrain',
      '@multiformats',
      'main-event',
      'abort-error',
      'multiformats',
      'it-stream-types',
    ]) {
      cpSync(join(consumers, name), join(project, 'node_modules', name), { recursive: true });
    }
    const options = [
      '--noEmit',
      '--strict',
      '--target',
      'es2022',
      '--module',
      'node16',
      '--types',
      'node',
      '--skipLibCheck',
    ];
    await run(NODE, [join(root, 'node_modules/typescript/bin/tsc'), ...options, source]).catch(({ stdout }) =>
      assert.fail(stdout),
    );
  });
});

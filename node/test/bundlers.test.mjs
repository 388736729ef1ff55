// Bundlers, single executables, other runtimes, test runners: with the package laid out as npm does it, as the README
// says. One bundle for each way of the README, because each takes the machine a second.

import assert from 'node:assert/strict';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { WAYS } from './bundlers/build.mjs';
import { gatewayFor } from './helpers.mjs';
import { layOut, root, run } from './project.mjs';

const TOOLS = join(root, 'test/bundlers/node_modules');
const NODE = process.execPath;

const MAPS = `const gateway = await Gateway.start();
const port = await open(9001, gateway.config);
console.log(String(port.snapshot().external));
await port.stop();
await gateway.stop();`;
const IMPORTS = "import { open } from 'portlease';\nimport { Gateway } from 'portlease/testing';\n";
const REQUIRES = "const { open } = require('portlease');\nconst { Gateway } = require('portlease/testing');\n";
const PROGRAMS = {
  'program.mjs': `${IMPORTS}${MAPS}`,
  // Without `await` at the top, which CommonJS cannot have.
  'program.main.mjs': `${IMPORTS}(async () => {\n${MAPS}\n})();`,
  'program.cjs': `${REQUIRES}(async () => {\n${MAPS}\n})();`,
};
const MAPPED = '192.0.1.1:9001\n';

let installed;

before(async () => {
  installed = await layOut();
  for (const [name, code] of Object.entries(PROGRAMS)) writeFileSync(join(installed.project, name), code);
});
after(() => installed.remove());

/** An empty folder of its own, as the machine on which a bundle runs. */
function elsewhere(name, beside) {
  const folder = join(installed.folder, name.replaceAll(/\W/g, '-'));
  mkdirSync(folder);
  if (beside)
    cpSync(join(installed.project, 'node_modules/@portlease'), join(folder, 'node_modules/@portlease'), {
      recursive: true,
    });
  return folder;
}

const bundle = (way, entry, out) => WAYS[way].build({ project: installed.project, entry, out });

const aBundle = () => {
  for (const [name, { program, beside }] of Object.entries(WAYS)) {
    it(`maps: ${name}`, async () => {
      const folder = elsewhere(name, beside);
      assert.deepEqual(await bundle(name, `program.${program}`, folder), []);
      const app = readdirSync(folder).find((file) => file.startsWith('app.'));
      const { stdout, stderr } = await run(NODE, [app], { cwd: folder });
      assert.deepEqual([stdout, stderr], [MAPPED, '']);
    });
  }

  it('without its binary starts, and says what is missing', async () => {
    const folder = elsewhere('missing', false);
    await bundle('esbuild, ES module', 'program.mjs', folder);
    const { stderr } = await run(NODE, ['app.mjs'], { cwd: folder }).then(assert.fail, (error) => error);
    assert.match(stderr, /portlease's binary for this machine is missing: .*outside of a bundle/);
  });
};

/** A program of one of the packages in `bundlers`, if this machine has it. */
function tool(scope, file) {
  const folder = join(TOOLS, scope);
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.map((name) => join(folder, name, file)).find(existsSync);
}

const BUN = tool('@oven', 'bin/bun');
const DENO = tool('@deno', 'deno');
const RUNTIMES = {
  Bun: { command: [BUN], skip: !BUN && 'npm has no Bun for this machine' },
  Deno: { command: [DENO, 'run', '-A'], skip: !DENO && 'npm has no Deno for this machine' },
};

const anExecutable = () => {
  it('made by bun build --compile has everything in it', { skip: RUNTIMES.Bun.skip }, async () => {
    const folder = elsewhere('bun', false);
    const app = join(folder, 'app');
    await run(BUN, ['build', '--compile', 'program.mjs', '--outfile', app], { cwd: installed.project });
    assert.equal((await run(app, [], { cwd: folder })).stdout, MAPPED);
  });

  it("made with Node's SEA has the binary as an asset", { timeout: 120_000 }, async () => {
    const { project, platform } = installed;
    const code = `import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getAsset, isSea } from 'node:sea';
${IMPORTS}
if (isSea()) {
  process.env.PORTLEASE_NATIVE = join(mkdtempSync(join(tmpdir(), 'app-')), 'portlease.node');
  writeFileSync(process.env.PORTLEASE_NATIVE, new Uint8Array(getAsset('portlease.node')));
}
(async () => {\n${MAPS}\n})();`;
    writeFileSync(join(project, 'sea.mjs'), code);
    const folder = elsewhere('sea', false);
    await bundle('esbuild, CommonJS', 'sea.mjs', folder);
    const assets = { 'portlease.node': `node_modules/${platform}/portlease.node` };
    const [main, blob, app] = [join(folder, 'app.cjs'), join(folder, 'blob'), join(folder, 'app')];
    const config = { main, output: blob, disableExperimentalSEAWarning: true, assets };
    writeFileSync(join(project, 'sea.json'), JSON.stringify(config));
    await run(NODE, ['--experimental-sea-config', 'sea.json'], { cwd: project });
    copyFileSync(NODE, app);
    const fuse = ['--sentinel-fuse', 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2'];
    await run(NODE, [join(TOOLS, 'postject/dist/cli.js'), app, 'NODE_SEA_BLOB', blob, ...fuse]);
    assert.equal((await run(app, [], { cwd: folder, env: { TMPDIR: folder } })).stdout, MAPPED);
  });
};

/** How a program ends, and what is left on the gateway then. */
const ENDS = {
  'runs to its end': '',
  'calls process.exit': 'process.exit(3);',
  'calls Deno.exit': 'Deno.exit(3);',
  'has an uncaught exception': "setTimeout(() => { throw new Error('boom'); });",
};
const STAYS = ['Deno has an uncaught exception'];

const theEnd = () => {
  for (const [name, { command, skip }] of Object.entries(RUNTIMES)) {
    for (const [how, code] of Object.entries(ENDS)) {
      if (code.startsWith('Deno') && name !== 'Deno') continue;
      const stays = STAYS.includes(`${name} ${how}`);
      it(`if ${name} ${how}${stays ? ': not there' : ''}`, { skip }, async (t) => {
        const gateway = await gatewayFor(t);
        const program = join(installed.project, `${name}-${how.replaceAll(' ', '-')}.mjs`);
        const config = JSON.stringify(gateway.config);
        const head = `import { Mapper } from 'portlease';\nawait Mapper.start(${config}).map({ port: 9001 }).ready();\n`;
        writeFileSync(program, `${head}console.log('mapped');\n${code}`);
        const { stdout } = await run(command[0], [...command.slice(1), program], { cwd: installed.project }).catch(
          (error) => error,
        );
        assert.equal(stdout, 'mapped\n');
        assert.equal(gateway.mappings().length, stays ? 1 : 0);
      });
    }
  }

  for (const [name, { command, skip }] of Object.entries(RUNTIMES)) {
    it(`and ${name} requires the package`, { skip }, async () => {
      const args = [...command.slice(1), 'program.cjs'];
      assert.equal((await run(command[0], args, { cwd: installed.project })).stdout, MAPPED);
    });
  }
};

const inATestRunner = () => {
  for (const [name, files, args] of [
    ['Jest', ['jest.test.js', 'jest.browser.test.js'], ['jest/bin/jest.js', '--runInBand', '--rootDir', '.']],
    ['Vitest', ['vitest.test.mjs'], ['vitest/vitest.mjs', 'run', '--root', '.']],
  ]) {
    it(`fake timers and modules that are loaded anew do no harm: ${name}`, async () => {
      for (const file of files) copyFileSync(join(root, 'test/bundlers', file), join(installed.project, file));
      const [program, ...options] = args;
      await run(NODE, [join(TOOLS, program), ...options, ...files], { cwd: installed.project }).catch(
        ({ stdout, stderr }) => assert.fail(stdout + stderr),
      );
    });
  }
};

describe('beyond a plain Node program', { concurrency: 3 }, () => {
  describe('an executable of its own', { concurrency: 2 }, anExecutable);
  describe('a bundle', aBundle);
  describe('the end of a process releases its mappings', theEnd);
  describe('in a test runner', inATestRunner);
});

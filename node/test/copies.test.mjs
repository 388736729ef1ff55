// The package as modules: imported, required, for a browser, loaded anew.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import * as esm from 'portlease';
import { Lease, Mapper, OpenPort, PortLeaseError } from 'portlease';
import { Gateway } from 'portlease/testing';
import { gatewayFor, runWell } from './helpers.mjs';

const require = createRequire(import.meta.url);

describe('the package', () => {
  it('exports the same, imported, required and in a browser', async () => {
    const common = require('portlease');
    const browser = await import('../dist/browser.mjs');
    assert.deepEqual(Object.keys(common).sort(), Object.keys(esm).sort());
    assert.deepEqual(Object.keys(browser).sort(), Object.keys(esm).sort());
  });

  it('knows the errors of its other copy', async () => {
    const common = require('portlease');
    const error = await common.open(0).then(assert.fail, (error) => error);
    assert.ok(error instanceof PortLeaseError);
    assert.ok(error instanceof common.PortLeaseError);
    assert.ok(!(new Error('other') instanceof PortLeaseError));
    assert.ok(!(error instanceof class Own extends PortLeaseError {}));
  });

  it('answers `unavailable` in a browser', async () => {
    const browser = await import('../dist/browser.mjs');
    const unavailable = { kind: 'unavailable', message: /browser/ };
    assert.throws(() => browser.Mapper.start(), unavailable);
    for (const name of ['Mapper', 'Lease', 'OpenPort']) assert.throws(() => new browser[name](), unavailable);
    await assert.rejects(browser.open(9001), unavailable);
  });

  it('loads once, however often its modules are loaded: one listener, and no warning', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { createRequire } from 'node:module';
       import { open } from 'portlease';
       const require = createRequire(import.meta.url);
       process.on('warning', (warning) => console.log(warning.message));
       const ports = [await open(9001, CONFIG)];
       const before = process.listenerCount('exit');
       for (let i = 2; i < 14; i++) {
         for (const file of Object.keys(require.cache)) if (file.includes('/dist/')) delete require.cache[file];
         ports.push(await require('portlease').open(9000 + i, CONFIG));
       }
       console.log(process.listenerCount('exit') - before, new Set(ports.map((port) => port.constructor)).size);`,
      { gateway },
    );
    assert.deepEqual(lines, ['0 13']);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('has no constructors for what it makes itself, and says what to call', () => {
    for (const [made, instead] of [
      [Mapper, 'Mapper.start'],
      [Lease, 'mapper.map'],
      [OpenPort, 'open'],
      [Gateway, 'Gateway.start'],
    ]) {
      const message = new RegExp(`^${made.name} .*: call ${instead}\\(`);
      assert.throws(() => new made(), { name: 'TypeError', message });
    }
  });
});

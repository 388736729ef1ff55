// Worker threads: each has its own part of the addon, which goes with it.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { gatewayFor, runWell } from './helpers.mjs';

const HEAD = `
const { workerData, parentPort } = require('node:worker_threads');
const { Mapper } = require(workerData.portlease);
const mapper = Mapper.start(workerData.config);
const { port } = workerData;
`;

/** Starts a worker; `ended` resolves with its exit code when it is gone. */
function start(gateway, code, data = {}) {
  const workerData = { portlease: PORTLEASE, config: gateway.config, port: 9001, ...data };
  const worker = new Worker(HEAD + code, { eval: true, workerData });
  const ended = new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', resolve);
  });
  return { worker, ended };
}

const PORTLEASE = new URL('../dist/index.js', import.meta.url).pathname;
const message = (worker) => new Promise((resolve) => worker.once('message', resolve));

describe('a worker', { concurrency: 4 }, () => {
  it('maps beside three others, all at once', async (t) => {
    const gateway = await gatewayFor(t);
    const workers = [9001, 9002, 9003, 9004].map((port) =>
      start(
        gateway,
        `mapper.map({ port }).ready().then(({ external }) => {
           parentPort.postMessage(String(external));
           parentPort.once('message', () => mapper.stop());
         });`,
        { port },
      ),
    );
    const said = await Promise.all(workers.map(({ worker }) => message(worker)));
    assert.deepEqual(
      said,
      [9001, 9002, 9003, 9004].map((port) => `192.0.1.1:${port}`),
    );
    assert.equal(gateway.mappings().length, 4);
    for (const { worker } of workers) worker.postMessage('stop');
    assert.deepEqual(await Promise.all(workers.map(({ ended }) => ended)), [0, 0, 0, 0]);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('that ends leaves no mapping behind', async (t) => {
    const gateway = await gatewayFor(t);
    const { ended } = start(gateway, 'mapper.map({ port }).ready();');
    assert.equal(await ended, 0);
    assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
    assert.deepEqual(gateway.mappings(), []);
  });

  it('that calls process.exit leaves no mapping behind', async (t) => {
    const gateway = await gatewayFor(t);
    const { ended } = start(gateway, 'mapper.ref().map({ port }).ready().then(() => process.exit(5));');
    assert.equal(await ended, 5);
    assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
    assert.deepEqual(gateway.mappings(), []);
  });

  it('that is terminated with an open lease and pending waits releases in the background', async (t) => {
    const gateway = await gatewayFor(t);
    const { worker } = start(
      gateway,
      `const lease = mapper.map({ port });
       lease.ready().then((since) => {
         parentPort.postMessage('ready');
         lease.changed({ since });
       });
       mapper.on('changed', () => {});
       (async () => { for await (const _ of mapper.events()); })();`,
    );
    await message(worker);
    assert.equal(gateway.mappings().length, 1);
    await worker.terminate();
    await gateway.waitFor(({ mappings }) => mappings.length === 0);
  });

  it('that is terminated has released when it is gone, also where the gateway takes its time', async (t) => {
    const gateway = await gatewayFor(t, { pcp: false, natPmp: false });
    const { worker } = start(
      gateway,
      `mapper.ref().map({ port }).ready().then(() => parentPort.postMessage('ready'));`,
    );
    await message(worker);
    gateway.setFaults({ httpDelayMs: 300 });
    await worker.terminate();
    assert.deepEqual(gateway.mappings(), []);
  });

  it('that is terminated in the middle of everything harms nobody', { timeout: 60_000 }, async (t) => {
    const gateway = await gatewayFor(t);
    for (let i = 0; i < 20; i++) {
      const { worker } = start(
        gateway,
        `const spin = async () => {
           const lease = mapper.map({ port });
           await lease.ready();
           await lease.stop();
           parentPort.postMessage('turn');
           return spin();
         };
         mapper.on('installed', () => {});
         spin();`,
        { port: 9100 + i },
      );
      await message(worker);
      await worker.terminate();
    }
    await gateway.waitFor(({ mappings }) => mappings.length === 0);
  });

  it('alone may load the package: it can be loaded again in the next one, and in no other thread', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { Worker } from 'node:worker_threads';
       for (let i = 0; i < 5; i++) {
         const code = ${JSON.stringify(`${HEAD} mapper.map({ port }).ready().then(() => parentPort.postMessage('ready'));`)};
         const workerData = { portlease: ${JSON.stringify(PORTLEASE)}, config: CONFIG, port: 9001 + i };
         const worker = new Worker(code, { eval: true, execArgv: [], workerData });
         const ended = new Promise((resolve) => worker.once('exit', resolve));
         await new Promise((resolve) => worker.once('message', resolve));
         if (i % 2) await worker.terminate();
         await ended;
       }
       await new Promise((resolve) => setTimeout(resolve, 200));
       console.log('end');`,
      { gateway },
    );
    assert.deepEqual(lines, ['end']);
    assert.deepEqual(gateway.mappings(), []);
  });
});

// The process: what keeps it alive, how it ends, and that nothing is left behind. The gateway is in this process, the
// program under test in another.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gatewayFor, ROOT, run, runWell } from './helpers.mjs';

const START = `import { Mapper, open } from 'portlease';
const mapper = Mapper.start(CONFIG);
const lease = mapper.map({ port: 9001 });
await lease.ready();
`;

/** Room for the start of a process on a busy machine. */
const AT_ONCE = 10_000;

describe('a process', { concurrency: 4 }, () => {
  it('is not kept alive by an open lease or a listener, and leaves no mapping behind', async (t) => {
    const gateway = await gatewayFor(t);
    const { took } = await runWell(`${START} mapper.on('changed', () => {});`, { gateway });
    assert.ok(took < AT_ONCE, `${took} ms`);
    assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
    assert.deepEqual(gateway.mappings(), []);
  });

  it('is kept alive by a pending wait', async (t) => {
    const gateway = await gatewayFor(t, { faults: { pcpDelayMs: 300 }, natPmp: false, upnp: false });
    const { lines } = await runWell(
      `import { Mapper } from 'portlease';
       Mapper.start(CONFIG).map({ port: 9001 }).ready().then(({ active }) => console.log(active));`,
      { gateway },
    );
    assert.deepEqual(lines, ['true']);
  });

  it('is kept alive by a loop over events, until the mapper is stopped', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `${START}
       setTimeout(() => mapper.stop(), 200);
       for await (const { kind } of mapper.events()) console.log(kind);`,
      { gateway },
    );
    assert.deepEqual(lines, ['installed', 'exited']);
  });

  it('is not kept alive by readers of events on which nothing waits', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `${START}
       const events = mapper.events();
       console.log((await mapper.nextEvent()).kind, (await events.next()).value.kind);`,
      { gateway },
    );
    assert.deepEqual(lines, ['installed installed']);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('is kept alive by a wait for a change', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `${START}
       lease.changed().then(({ active }) => console.log('changed', active));
       setTimeout(() => lease.stop(), 100).unref();`,
      { gateway },
    );
    assert.match(lines.join(), /^changed (true|false)$/);
  });

  it('is kept alive by mapper.ref until unref, or until the mapper is stopped', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `${START}
       mapper.ref().ref();
       setTimeout(() => { console.log('still here'); mapper.unref(); }, 200).unref();
       const other = Mapper.start(CONFIG).ref();
       setTimeout(() => { console.log('and here'); other.stop(); }, 300).unref();`,
      { gateway },
    );
    assert.deepEqual(lines, ['still here', 'and here']);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('is kept alive by ref of a lease and of an open port until unref, or until the lease is over', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `${START}
       const later = (time, call) => setTimeout(call, time).unref();
       const port = await open(9002, CONFIG);
       lease.ref().ref();
       port.ref();
       const failing = Mapper.start({ ...CONFIG, retry: 'never' }).map({ port: 9003, externalPort: 9001, exact: true });
       failing.ref();
       later(100, () => { console.log('one'); lease.unref(); });
       later(200, () => { console.log('two'); port.mapper.stop(); });`,
      { gateway },
    );
    assert.deepEqual(lines, ['one', 'two']);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('with fake timers maps, waits, listens and ends all the same', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `${START}
       import { Gateway } from 'portlease/testing';
       import NatAPI from 'portlease/nat-api';
       // What Jest, Vitest and Sinon replace, by what never happens.
       const never = () => ({ ref() { return this; }, unref() { return this; } });
       for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']) globalThis[name] = never;
       process.nextTick = never;
       performance.now = () => 0;
       Date.now = () => 0;
       const heard = [];
       mapper.on('installed', ({ lease }) => heard.push(lease));
       const port = await open(9002, CONFIG);
       await mapper.map({ port: 9003 }).ready();
       await mapper.map({ port: 9004 }).ready();
       await lease.stop();
       const gateway = await Gateway.start();
       await gateway.waitFor(() => false, { timeout: 20 }).catch(({ kind }) => console.log(kind));
       const client = new NatAPI(CONFIG);
       console.log(await new Promise((resolve) => client.map({ publicPort: 9005 }, (_, mapped) => resolve(mapped))));
       await client.destroy();
       await mapper.stop();
       console.log(...heard);`,
      { gateway },
    );
    assert.deepEqual(lines, ['timeout', 'true', '1 2 3']);
    assert.deepEqual(gateway.mappings(), []);
  });

  it('leaves nothing behind at process.exit, with its status', async (t) => {
    const gateway = await gatewayFor(t);
    const { status, stderr } = await run(`${START} process.exit(7);`, { gateway });
    assert.deepEqual({ status, stderr }, { status: 7, stderr: '' });
    assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
    assert.deepEqual(gateway.mappings(), []);
  });

  it('leaves nothing behind after an uncaught exception, which is reported as ever', async (t) => {
    const gateway = await gatewayFor(t);
    const { status, stderr } = await run(`${START} setImmediate(() => { throw new Error('boom'); });`, { gateway });
    assert.equal(status, 1);
    assert.match(stderr, /Error: boom/);
    assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
    assert.deepEqual(gateway.mappings(), []);
  });

  it('leaves nothing behind where its handles were garbage before', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { Mapper } from 'portlease';
       await (async () => { await Mapper.start(CONFIG).map({ port: 9001 }).ready(); })();
       await new Promise((resolve) => setTimeout(resolve, 10));
       gc(); gc();
       console.log('end');`,
      { gateway, flags: ['--expose-gc'] },
    );
    assert.deepEqual(lines, ['end']);
    assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
    assert.deepEqual(gateway.mappings(), []);
  });

  it('ends within seconds where the gateway has gone silent', async (t) => {
    const gateway = await gatewayFor(t);
    const program = run(`${START} console.log('ready'); setTimeout(() => process.exit(), 500);`, { gateway });
    await gateway.waitFor(({ mappings }) => mappings.length === 1);
    gateway.setFaults({ pcp: 'silent', natPmp: 'silent', upnp: 'silent' });
    const { status, took } = await program;
    assert.equal(status, 0);
    assert.ok(took < 500 + 2500 + AT_ONCE, `${took} ms`);
  });

  it('ends with waits pending at process.exit', async (t) => {
    const gateway = await gatewayFor(t, { faults: { pcp: 'silent' } });
    const { status, stderr, took } = await run(
      `import { Mapper } from 'portlease';
       const mapper = Mapper.start({ ...CONFIG, protocols: ['pcp'] });
       const lease = mapper.map({ port: 9001 });
       lease.ready();
       lease.changed();
       mapper.nextEvent();
       mapper.probe();
       setTimeout(() => process.exit(3), 50);`,
      { gateway },
    );
    assert.deepEqual({ status, stderr }, { status: 3, stderr: '' });
    assert.ok(took < 2500 + AT_ONCE, `${took} ms`);
  });

  it('sees no unhandled rejection that is not its own', async (t) => {
    const gateway = await gatewayFor(t, { faults: { tableFull: true } });
    await runWell(
      `import { Mapper, open } from 'portlease';
       const mapper = Mapper.start({ ...CONFIG, retry: 'never' });
       mapper.on('installed', () => {});
       const lease = mapper.map({ port: 9001 });
       mapper.events();
       await lease.ready().catch(() => {});
       await open(9002, CONFIG).catch(() => {});
       await mapper.stop();
       mapper.stop();
       lease.stop();`,
      { gateway, flags: ['--unhandled-rejections=strict'] },
    );
  });
});

describe('the command line', () => {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    it(`releases its mapping and ends at ${signal}`, { timeout: 30_000 }, async (t) => {
      const gateway = await gatewayFor(t);
      const { gateway: address, pcpPort, ssdpAddress } = gateway.config;
      const router = ['--gateway', address, '--pcp-port', `${pcpPort}`, '--ssdp-address', ssdpAddress];
      const program = fileURLToPath(new URL('bin/portlease.js', ROOT));
      const child = spawn(process.execPath, [program, 'map', '9001/udp', '--no-state', ...router]);
      t.after(() => child.kill('SIGKILL'));
      const ended = once(child, 'exit');
      // It says so when there is a mapping, and hears signals from before that on.
      await once(child.stdout, 'data');
      child.kill(signal);
      assert.deepEqual(await ended, [0, null]);
      assert.deepEqual(gateway.mappings(), []);
    });
  }
});

describe('the garbage collector', () => {
  it('takes no mapping away, but a mapper that has none, with its thread', async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { readdirSync, readFileSync } from 'node:fs';
       import { setTimeout } from 'node:timers/promises';
       import { Mapper, open } from 'portlease';
       const threads = () => readdirSync('/proc/self/task').filter((id) => {
         try { return readFileSync('/proc/self/task/' + id + '/comm', 'utf8') === 'portlease\\n'; } catch { return false; }
       }).length;
       const collect = async () => { for (let i = 0; i < 10; i++) { gc(); await setTimeout(10); } };
       await (async () => { await Mapper.start(CONFIG).map({ port: 9001 }).ready(); await open(9002, CONFIG); })();
       await collect();
       console.log(threads());
       await (async () => {
         const lease = Mapper.start(CONFIG).map({ port: 9003 });
         await lease.ready();
         await lease.stop();
       })();
       while (threads() > 2) await collect();
       console.log(threads());
       // Those whose only lease has failed for good, which a wait or a listener has heard.
       const failing = () => Mapper.start({ ...CONFIG, retry: 'never' }).map({ port: 9004, externalPort: 9001, exact: true });
       await (async () => {
         await failing().ready().catch(({ kind }) => console.log(kind));
         const lease = failing();
         for (let seen = lease.snapshot(); seen.state !== 'exited'; ) seen = await lease.changed({ since: seen });
         const alive = setInterval(() => {}, 1000);
         await new Promise((resolve) => failing().once('exited', resolve));
         clearInterval(alive);
       })();
       while (threads() > 2) await collect();
       console.log(threads());
       console.log('waiting');
       await setTimeout(300);`,
      { gateway, flags: ['--expose-gc'] },
    );
    assert.deepEqual(lines, ['2', '2', 'refused', '2', 'waiting']);
    const { pcpMap: maps, pcpDelete: deletes } = gateway.counters();
    assert.deepEqual([maps >= 3, deletes >= 3], [true, true]);
    assert.deepEqual(gateway.mappings(), []);
  });
});

describe('two hundred starts and stops', () => {
  it('leave memory, open files and threads as they were', { timeout: 120_000 }, async (t) => {
    const gateway = await gatewayFor(t);
    const { lines } = await runWell(
      `import { readdirSync } from 'node:fs';
       import { Mapper } from 'portlease';
       const cycle = async () => {
         const mapper = Mapper.start(CONFIG);
         const lease = mapper.map({ port: 9001 });
         await lease.ready();
         await lease.stop();
         await mapper.stop();
       };
       const measure = async () => {
         gc();
         // The system lists a thread for a moment after it was joined.
         await new Promise((resolve) => setTimeout(resolve, 100));
         gc();
         const count = (folder) => readdirSync('/proc/self/' + folder).length;
         return [process.memoryUsage().rss / 2 ** 20, count('fd'), count('task')];
       };
       for (let i = 0; i < 50; i++) await cycle();
       const before = await measure();
       for (let i = 0; i < 200; i++) await cycle();
       console.log(JSON.stringify([before, await measure()]));`,
      { gateway, flags: ['--expose-gc'] },
    );
    const [[memory, files, threads], [memoryAfter, filesAfter, threadsAfter]] = JSON.parse(lines[0]);
    t.diagnostic(`memory ${memory.toFixed(1)} -> ${memoryAfter.toFixed(1)} MiB, files ${files}, threads ${threads}`);
    assert.ok(memoryAfter - memory < 8, `memory grew from ${memory} to ${memoryAfter} MiB`);
    assert.equal(filesAfter, files);
    assert.equal(threadsAfter, threads);
    assert.deepEqual(gateway.mappings(), []);
  });
});

// Every example of the README and of MIGRATION.md, as it stands there, on a simulated router.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { environmentOf, gatewayFor, runWell } from './helpers.mjs';

const TEXTS = ['README.md', 'MIGRATION.md'].map((name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8'));
const EXAMPLES = [...TEXTS.join('').matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);

/** What the examples print, in the order of the two. */
const PRINTED = [
  ['external address: 192.0.1.1:9001'],
  ['192.0.1.1:9001 is public', 'web at 192.0.1.1:80', 'web is over'],
  ['192.0.1.1:9001', '[::1]:9001'],
  ['TimeoutError'],
  ['external address: 192.0.1.1:9001'],
  [
    'TIME info portlease::event 9001/udp installed: 192.0.1.1:9001 by pcp for 3600 s (SPAN)',
    'TIME info portlease::event 9001/udp released: 192.0.1.1:9001 by pcp',
  ],
  [],
  ['true', '192.0.1.1'],
  [
    '{',
    "  externalHost: '192.0.1.1',",
    '  externalPort: 9001,',
    "  internalHost: '127.0.0.1',",
    '  internalPort: 9001,',
    "  protocol: 'UDP'",
    '}',
  ],
  ['192.0.1.1'],
  ['true'],
  ['192.0.1.1 9001'],
];

/**
 * No hurry, so that what the examples do before there is a mapping is done before. Its external ports are not opened:
 * they would be this machine's, where the examples open their own.
 */
const ROUTER = { forward: false, ipv6: true, faults: { pcpDelayMs: 500, natPmpDelayMs: 600, ssdpDelayMs: 600 } };

const PRELOAD = ['--import', new URL('preload.mjs', import.meta.url).href];

/** A port that nobody has, and that the system gives to nobody who asks for any. */
async function freePort() {
  const port = 20_000 + Math.floor(Math.random() * 10_000);
  const socket = createSocket('udp4');
  const free = await new Promise((resolve) => {
    socket.once('error', () => resolve(false)).bind(port, () => resolve(true));
  });
  await new Promise((resolve) => socket.close(resolve));
  return free ? String(port) : freePort();
}

describe('an example does what it says', { concurrency: 4 }, () => {
  for (const [index, code] of EXAMPLES.entries()) {
    it(
      code.split('\n').find((line) => !line.startsWith('import') && line !== ''),
      async (t) => {
        const gateway = await gatewayFor(t, ROUTER);
        // The example's own port may be taken: other tests run at the same time.
        const port = await freePort();
        const { lines } = await runWell(code.replaceAll('9001', port), {
          flags: PRELOAD,
          env: { PORTLEASE_GATEWAY: environmentOf(gateway) },
          // In the package, whose name it finds. A cluster forks a file.
          file: new URL(`../dist/example-${index}.mjs`, import.meta.url),
        });
        assert.deepEqual(
          lines.map((line) => line.replace(/^\d{4}-\S+Z /, 'TIME ').replace(/\(\d\S* m?s\)$/, '(SPAN)')),
          PRINTED[index].map((line) => line.replaceAll('9001', port)),
        );
        assert.deepEqual(gateway.mappings(), []);
      },
    );
  }
});

it('the first example goes on with a router that says no, and tells the reader what to do', async (t) => {
  const gateway = await gatewayFor(t, { forward: false, faults: { pcp: { refuse: 2 }, natPmp: 'off', upnp: 'off' } });
  const { lines } = await runWell(EXAMPLES[0].replaceAll('9001', await freePort()), {
    flags: PRELOAD,
    env: { PORTLEASE_GATEWAY: environmentOf(gateway) },
  });
  assert.match(lines.join('\n'), /^only the home network can reach us: .*NOT_AUTHORIZED.*\nwhat to do: .+$/);
});

it('every example is known here', () => {
  assert.equal(EXAMPLES.length, PRINTED.length);
});

// What the tests share.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Mapper } from 'portlease';
import { Gateway } from 'portlease/testing';

export const ROOT = new URL('..', import.meta.url);

/** How long a program of the tests may take at most, in milliseconds: who takes this long hangs. */
const PATIENCE = 30_000;

/** `localAddress` as the other languages write it: `local_address`. */
export const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** And the other way round. */
export const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());

/** Starts a gateway that ends with the test. */
export async function gatewayFor(t, options) {
  const gateway = await Gateway.start(options);
  t.after(() => gateway.stop());
  return gateway;
}

/** What the environment variable PORTLEASE_GATEWAY is to say of a gateway. */
export function environmentOf({ config: { gateway, pcpPort, ssdpAddress } }) {
  return `${gateway},pcp=${pcpPort},ssdp=${ssdpAddress.split(':')[1]}`;
}

/** Starts a gateway and a mapper on it; both end with the test, and then nothing is left on the gateway. */
export async function mapperFor(t, { gateway: settings, ...options } = {}) {
  const gateway = await gatewayFor(t, settings);
  // Listeners alone keep nothing alive.
  const mapper = Mapper.start({ ...gateway.config, ...options }).ref();
  t.after(() => mapper.stop());
  return { gateway, mapper };
}

/**
 * Runs a program, an ES module, in a process of its own, which finds `CONFIG`, the gateway's, and resolves when it
 * has ended. With `file` the program is written there first.
 */
export async function run(code, { gateway, flags = [], kind = 'module', cwd = ROOT, env = {}, file } = {}) {
  const all = `const CONFIG = ${JSON.stringify(gateway?.config ?? {})};\n${code}`;
  if (file) writeFileSync(file, all);
  const program = file ? [fileURLToPath(file)] : [`--input-type=${kind}`, '--eval', all];
  const start = performance.now();
  const child = spawn(process.execPath, [...flags, ...program], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: PATIENCE,
    killSignal: 'SIGKILL',
  });
  const texts = await Promise.all([text(child.stdout), text(child.stderr), ended(child)]);
  const [stdout, stderr, { status, signal }] = texts;
  return { status, signal, stdout, stderr, took: performance.now() - start };
}

/** The same for a program that must end well; answers with what it printed. */
export async function runWell(code, options) {
  const { status, signal, stdout, stderr, took } = await run(code, options);
  assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' }, stdout);
  return { lines: stdout.split('\n').filter(Boolean), took };
}

async function text(stream) {
  let all = '';
  for await (const part of stream.setEncoding('utf8')) all += part;
  return all;
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve({ status, signal }));
  });
}

// For examples that are written for the home: the router there is the simulated one of a test, and the reader's Ctrl-C
// comes as soon as the program has said that there is a mapping.
import { createRequire } from 'node:module';

const addon = createRequire(import.meta.url)('../dist/addon.js').addon();
const router = JSON.parse(process.env.GATEWAY);

// Whatever a program calls, it is one of these that starts a mapper.
const { MapperHandle, PortHandle } = addon;
addon.MapperHandle = { start: (host, settings) => MapperHandle.start(host, { ...router, ...settings }) };
addon.PortHandle = { begin: (host, settings, request) => PortHandle.begin(host, { ...router, ...settings }, request) };

const { log } = console;
console.log = (...words) => {
  log(...words);
  if (String(words[0]).startsWith('external address: ')) setImmediate(() => process.kill(process.pid, 'SIGINT'));
};

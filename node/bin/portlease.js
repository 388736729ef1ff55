#!/usr/bin/env node
// The command line, the same as that of the Rust binary.
'use strict';
const { addon } = require('../dist/addon.js');

// Node handles these by raising them anew, which the command line's own handlers would hear for ever: with the last
// listener gone they are as the system has them.
for (const signal of ['SIGINT', 'SIGTERM']) {
  const listener = () => {};
  process.on(signal, listener).off(signal, listener);
}

try {
  process.exitCode = addon().run(['portlease', ...process.argv.slice(2)]);
} catch (error) {
  console.error(`portlease: ${error.message}`);
  process.exitCode = 1;
}

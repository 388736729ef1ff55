#!/usr/bin/env node
// The command line, the same as that of the Rust binary.
'use strict';
const { addon } = require('../dist/addon.js');

process.exitCode = addon.run(['portlease', ...process.argv.slice(2)]);

// Plays every scenario of tests/scenarios, each as a test of its own. The README there has the format.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, run } from './scenarios/run.mjs';

const FOLDER = fileURLToPath(new URL('../../tests/scenarios/', import.meta.url));
const RIGHT = files(FOLDER);
const WRONG = files(`${FOLDER}must_fail/`);

function files(folder) {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return names.sort().map((name) => folder + name);
}

function title(file) {
  const [, sentence = ''] = readFileSync(file, 'utf8').match(/"name": *"([^"]*)"/) ?? [];
  return `${basename(file, '.json')}: ${sentence}`;
}

// They mostly wait for lifetimes to run out.
describe('scenario', { concurrency: 8 }, () => {
  for (const file of RIGHT) it(title(file), { timeout: 60_000 }, () => run(parse(readFileSync(file, 'utf8'))));
});

describe('the runner notices what is wrong in', { concurrency: 8 }, () => {
  for (const file of WRONG) {
    it(title(file), { timeout: 60_000 }, async () => {
      let scenario;
      try {
        scenario = parse(readFileSync(file, 'utf8'));
      } catch {
        return; // What cannot even be read is noticed already, so it names no place.
      }
      const failure = await run(scenario).then(
        () => undefined,
        (error) => error,
      );
      assert.ok(failure, 'this scenario is wrong, and the runner did not notice');
      if (scenario.fails_at !== undefined) assert.deepEqual(failure.at, scenario.fails_at, failure.message);
    });
  }
});

it('there are scenarios of both sorts', () => {
  assert.ok(RIGHT.length >= 25, `${RIGHT.length}`);
  assert.ok(WRONG.length >= 5, `${WRONG.length}`);
});

/**
 * What jest-environment-jsdom sets.
 * @jest-environment-options {"customExportConditions": ["browser"]}
 */
/* global expect, test */
const { open } = require('portlease');

test('gets what a browser gets', async () => {
  await expect(open(9001)).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringMatching('browser') });
});

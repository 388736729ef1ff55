import { open } from 'portlease';
import { Gateway } from 'portlease/testing';
import { expect, test, vi } from 'vitest';

test('maps and listens under fake timers', async () => {
  vi.useFakeTimers();
  const gateway = await Gateway.start();
  const port = await open(9001, gateway.config);
  const heard = [];
  port.on('exited', ({ kind }) => heard.push(kind));
  await gateway.waitFor(({ mappings }) => mappings.length === 1);
  await port.stop();
  expect(heard).toEqual(['exited']);
  await gateway.stop();
});

/* global expect, jest, test */
const { open } = require('portlease');
const { Gateway } = require('portlease/testing');

test('maps and listens under fake timers', async () => {
  jest.useFakeTimers();
  const gateway = await Gateway.start();
  const port = await open(9001, gateway.config);
  const heard = [];
  port.on('exited', ({ kind }) => heard.push(kind));
  await gateway.waitFor(({ mappings }) => mappings.length === 1);
  await port.stop();
  expect(heard).toEqual(['exited']);
  await gateway.stop();
});

test('is loaded anew many times, without a warning', async () => {
  const warn = jest.spyOn(process, 'emitWarning');
  for (let i = 0; i < 12; i++) {
    jest.resetModules();
    const { open, PortLeaseError } = require('portlease');
    const { Gateway } = require('portlease/testing');
    const gateway = await Gateway.start();
    await (await open(9001, gateway.config)).stop();
    await expect(open(0)).rejects.toBeInstanceOf(PortLeaseError);
    await gateway.stop();
  }
  expect(warn).not.toHaveBeenCalled();
});

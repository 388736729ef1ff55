// The simulated gateway for users' own tests.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { it } from 'node:test';
import { inspect } from 'node:util';
import { Mapper } from 'portlease';
import { Gateway } from 'portlease/testing';
import { gatewayFor, mapperFor, runWell } from './helpers.mjs';

it('a gateway tells a mapper where it is, and shows what was mapped and asked', async (t) => {
  const { gateway, mapper } = await mapperFor(t, { gateway: { upnp: false } });
  await mapper.map({ port: 9001, transport: 'tcp' }).ready();
  const [mapping] = gateway.mappings();
  assert.equal(mapping.transport, 'tcp');
  assert.equal(mapping.internal, '127.0.0.1:9001');
  assert.ok(gateway.counters().pcpMap > 0); // a slow machine asks again
  assert.deepEqual(Object.keys(gateway.state()).sort(), ['counters', 'epoch', 'externalAddress', 'mappings']);
});

it('traffic to the mapping reaches the port behind it', async (t) => {
  const { gateway, mapper } = await mapperFor(t);
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  await mapper.map({ port: server.address().port }).ready();
  const [address, port] = gateway.mappings()[0].reach.split(':');
  const client = createSocket('udp4');
  t.after(() => client.close());
  client.send('hello', Number(port), address);
  const [message] = await once(server, 'message');
  assert.equal(String(message), 'hello');
});

/** A router with an IPv6 firewall; null, and the test is skipped, on a machine without IPv6. */
async function firewallFor(t, options) {
  const gateway = await gatewayFor(t, { ipv6: true, ...options });
  if (gateway.noIpv6 === null) return gateway;
  t.skip(`no IPv6 here: ${gateway.noIpv6}`);
  return null;
}

it('an IPv6 lease opens a pinhole, and traffic arrives', async (t) => {
  const gateway = await firewallFor(t);
  if (!gateway) return;
  const server = createSocket('udp6').bind(0, '::1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address();
  const mapper = Mapper.start(gateway.config).ref();
  t.after(() => mapper.stop());
  await mapper.map({ port, family: 'ipv6' }).ready();
  const [pinhole] = gateway.mappings();
  assert.deepEqual([pinhole.internal, pinhole.externalPort, pinhole.uniqueId], [`[::1]:${port}`, port, 1]);
  const client = createSocket('udp6');
  t.after(() => client.close());
  client.send('hello', Number(pinhole.reach.split(']:')[1]), '::1');
  const [message] = await once(server, 'message');
  assert.equal(String(message), 'hello');
  await mapper.stop();
  assert.deepEqual(gateway.mappings(), []);
});

it('a pinhole that is lost, and one that another prefix has closed, are opened again', async (t) => {
  const gateway = await firewallFor(t);
  if (!gateway) return;
  // Without a look of its own the mapper opens it again only when it is told to look.
  const mapper = Mapper.start({ ...gateway.config, protocols: ['pcp'], checkInterval: 0 }).ref();
  t.after(() => mapper.stop());
  await mapper.map({ port: 9001, family: 'ipv6' }).ready();
  assert.equal(gateway.removePinhole('udp', '[::1]:9001'), true);
  assert.equal(gateway.removePinhole('udp', '[::1]:9001'), false);
  mapper.networkChanged();
  await gateway.waitFor(({ mappings }) => mappings.length === 1);
  gateway.renumber('2001:db8:1::/64');
  assert.deepEqual(gateway.mappings(), []);
  gateway.renumber('::1/128');
  mapper.networkChanged();
  await gateway.waitFor(({ mappings }) => mappings.length === 1);
});

it('announcements arrive over IPv4 and IPv6', async (t) => {
  const gateway = await firewallFor(t);
  if (!gateway) return;
  for (const [type, host] of [
    ['udp4', '127.0.0.1'],
    ['udp6', '::1'],
  ]) {
    for (const [what, first] of Object.entries({ pcp: 2, natPmp: 0, ssdpAlive: 0x4e, ssdpByebye: 0x4e })) {
      if (what === 'natPmp' && type === 'udp6') continue; // NAT-PMP is for IPv4 alone
      const listener = createSocket(type).bind(0, host);
      await once(listener, 'listening');
      t.after(() => listener.close());
      const heard = once(listener, 'message');
      gateway.announce(what, `${type === 'udp6' ? `[${host}]` : host}:${listener.address().port}`);
      assert.equal((await heard)[0][0], first, `${what} over ${type}`);
    }
  }
});

it('a mapper finds the IPv6 firewall by the options for both families, and by its own', async (t) => {
  const gateway = await firewallFor(t);
  if (!gateway) return;
  assert.deepEqual([gateway.ipv6.gateway, gateway.ipv6.pcpPort], ['::1', gateway.config.pcpPort]);
  for (const config of [gateway.ipv6, gateway.config]) {
    const mapper = Mapper.start(config).ref();
    t.after(() => mapper.stop());
    assert.equal(`${(await mapper.map({ port: 9001, family: 'ipv6' }).ready()).external}`, '[::1]:9001');
    await mapper.stop();
  }
});

it('a gateway without an IPv6 firewall says so, and why if it should have one', async (t) => {
  const plain = await gatewayFor(t);
  assert.deepEqual([plain.ipv6, plain.noIpv6], [null, null]);
  const program = `
    import { Gateway } from 'portlease/testing';
    const gateway = await Gateway.start({ ipv6: true });
    console.log(gateway.ipv6, gateway.noIpv6, gateway.config.gateway);`;
  const without = 'ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 || exit 77; exec "$@"';
  const node = [process.execPath, '--input-type=module', '--eval', program];
  const { status, stdout, stderr } = spawnSync('unshare', ['--net', 'sh', '-c', without, 'sh', ...node], {
    cwd: new URL('..', import.meta.url),
    encoding: 'utf8',
  });
  if (status === null || status === 77 || stderr.includes('unshare failed')) {
    t.skip(`no network without IPv6: ${stderr}`);
    return;
  }
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^null ::1 cannot be bound: .* 127\.0\.0\.1$/m);
});

it('it misbehaves on demand, reboots, moves, and has mappings of its own', async (t) => {
  const { gateway, mapper } = await mapperFor(t, { protocols: ['pcp'], retry: 'never' });
  gateway.setFaults({ pcp: { refuse: 2 } });
  assert.deepEqual(gateway.faults().pcp, { refuse: 2 });
  await assert.rejects(mapper.map({ port: 9001 }).ready(), { kind: 'refused', message: /NOT_AUTHORIZED/ });
  gateway.setFaults({ pcp: 'normal' });
  gateway.setExternalAddress('192.0.1.77');
  assert.equal(`${(await mapper.map({ port: 9002 }).ready()).external}`, '192.0.1.77:9002');
  const added = gateway.addMapping({ transport: 'tcp', externalPort: 80, internal: '127.0.0.9:80', lifetime: 60_000 });
  assert.ok(added.expiresIn > 50_000 && added.expiresIn <= 60_000);
  assert.equal(added.protocol, 'static');
  assert.equal(gateway.removeMapping('tcp', 80), true);
  assert.equal(gateway.removeMapping('tcp', 80), false);
  const { config } = gateway;
  gateway.reboot();
  assert.deepEqual(gateway.config, config);
  assert.deepEqual(gateway.mappings(), []);
});

it('what it does not know is invalid and named', async (t) => {
  await assert.rejects(Gateway.start({ colour: 'red' }), { kind: 'invalid', message: /colour/ });
  await assert.rejects(Gateway.start({ igdVersion: 3 }), { kind: 'invalid', message: /igdVersion/ });
  const gateway = await gatewayFor(t);
  assert.throws(() => gateway.setFaults({ colour: 1 }), { kind: 'invalid', message: /^colour: / });
  for (const [faults, message] of [
    [{ dropNext: -1 }, /^dropNext: must be a whole number between 0 and 4294967295, not -1$/],
    [{ pcp: 'sometimes' }, /^pcp: must be one of normal, off, silent or an object with refuse, not 'sometimes'$/],
    [{ pcp: { refuse: 'all' } }, /^pcp.refuse: must be a whole number /],
    [{ httpBody: 'no_length' }, /^httpBody: must be one of normal, chunked, noLength, .*, not 'no_length'$/],
    [{ portErrors: { 9001: 'x' } }, /^portErrors.9001: must be a whole number /],
    [{ cgnat: 1 }, /^cgnat: must be true or false, not 1$/],
    [{ grantedLifetime: 'long' }, /^grantedLifetime: must be a number, not 'long'$/],
    [{ loss: 2 }, /loss/],
  ]) {
    assert.throws(() => gateway.setFaults(faults), { kind: 'invalid', message });
  }
  for (const [mapping, message] of [
    [{ transport: 'sctp' }, /^transport: must be one of udp, tcp, not 'sctp'$/],
    [{ transport: 'udp' }, /^externalPort: /],
    [{ transport: 'udp', externalPort: 80 }, /^internal: must be a string, not undefined$/],
    [{ colour: 'red' }, /^colour: there is no such name in mapping; there are transport, externalPort, /],
  ]) {
    assert.throws(() => gateway.addMapping(mapping), { kind: 'invalid', message });
  }
  for (const [call, message] of [
    [() => gateway.removePinhole('sctp', '[::1]:1'), /^transport: must be one of udp, tcp, not 'sctp'$/],
    [() => gateway.removePinhole('udp', 1), /^internal: must be a string, not 1$/],
    [
      () => gateway.announce('hello', '[::1]:1'),
      /^what: must be one of pcp, natPmp, ssdpAlive, ssdpByebye, not 'hello'$/,
    ],
    [() => gateway.announce('pcp', null), /^to: must be a string, not null$/],
    [() => gateway.renumber('2001:db8:1::'), /prefix: .* must be an IPv6 address and a length/],
  ]) {
    assert.throws(call, { kind: 'invalid', message });
  }
  assert.throws(() => gateway.execute({ command: 'dance' }), { kind: 'invalid', message: /dance/ });
  for (const command of [undefined, () => {}, 'state', []]) {
    assert.throws(() => gateway.execute(command), { kind: 'invalid', message: /^command: must be an object, not / });
  }
  const before = gateway.state().externalAddress;
  for (const address of [undefined, 5, 'router.local', '::1', () => {}]) {
    const message = /^address: must be an IPv4 address or null, not /;
    assert.throws(() => gateway.setExternalAddress(address), { kind: 'invalid', message });
  }
  assert.equal(gateway.state().externalAddress, before);
  await assert.rejects(gateway.waitFor('mapped'), { kind: 'invalid', message: /^condition: must be a function, not / });
});

it('names are in camel case, and what is no name of a field stays as it is', async (t) => {
  const gateway = await gatewayFor(t, { natPmp: false, faults: { portErrors: { 9001: 718 }, faultStatus200: true } });
  const soapErrors = { AddPortMapping: 501, X_Own_action: 402, '*': 606 };
  gateway.setFaults({ soapErrors, httpBody: 'noLength' });
  const faults = gateway.faults();
  assert.deepEqual(
    Object.keys(faults).filter((name) => name.includes('_')),
    [],
  );
  assert.deepEqual(
    [faults.soapErrors, faults.portErrors, faults.faultStatus200, faults.httpBody],
    [soapErrors, { 9001: 718 }, true, 'noLength'],
  );
  gateway.setFaults(faults);
  assert.deepEqual(gateway.faults(), faults);
  const raw = gateway.execute({ command: 'faults' }).faults;
  assert.deepEqual([raw.nat_pmp, raw.http_body], ['normal', 'no_length']);
});

it('durations are milliseconds', async (t) => {
  const options = { epoch: 5000, minLifetime: 120_000, faults: { upnpMaxLease: 3_600_000 } };
  const { gateway, mapper } = await mapperFor(t, { gateway: options, protocols: ['pcp'] });
  assert.equal((await mapper.map({ port: 9001, ttl: 60_000 }).ready()).lifetime, 120_000);
  gateway.setFaults({ grantedLifetime: 90_000 });
  assert.equal((await mapper.map({ port: 9002 }).ready()).lifetime, 90_000);
  const [one] = gateway.mappings();
  assert.ok(one.expiresIn > 100_000 && one.expiresIn <= 120_000, `${one.expiresIn}`);
  assert.ok(gateway.state().epoch >= 5000 && gateway.state().epoch < 60_000);
  assert.deepEqual([gateway.faults().upnpMaxLease, gateway.faults().grantedLifetime], [3_600_000, 90_000]);
  const raw = gateway.execute({ command: 'faults' }).faults;
  assert.deepEqual([raw.upnp_max_lease, raw.granted_lifetime], [3600, 90]);
});

it('waitFor waits, within its time and until it is aborted', async (t) => {
  const gateway = await gatewayFor(t);
  await assert.rejects(
    gateway.waitFor(() => false, { timeout: 20 }),
    { kind: 'timeout' },
  );
  await assert.rejects(
    gateway.waitFor(() => false, { signal: AbortSignal.timeout(20) }),
    { name: 'TimeoutError' },
  );
  const waiting = gateway.waitFor(({ externalAddress }) => externalAddress === null);
  gateway.setExternalAddress(null);
  assert.equal((await waiting).externalAddress, null);
});

it('a stopped gateway is stopped, and may be stopped again', async () => {
  const gateway = await Gateway.start();
  await gateway[Symbol.asyncDispose]();
  await gateway.stop();
  assert.throws(() => gateway.mappings(), { kind: 'stopped' });
  assert.equal(inspect(gateway), 'Gateway { stopped: true }');
});

const WITHOUT_PROC = process.platform !== 'linux' && 'only Linux has /proc';

it('two hundred gateways leave no thread and no open file behind', { skip: WITHOUT_PROC }, async () => {
  const { lines } = await runWell(
    `import { readdirSync } from 'node:fs';
     import { Gateway } from 'portlease/testing';
     const count = () => ['fd', 'task'].map((folder) => readdirSync('/proc/self/' + folder).length);
     await (await Gateway.start()).stop();
     const before = count();
     for (let i = 0; i < 200; i++) await (await Gateway.start()).stop();
     // The system lists a thread for a moment after it was joined.
     for (let i = 0; i < 200 && count()[1] > before[1]; i++) await new Promise((resolve) => setTimeout(resolve, 10));
     console.log(JSON.stringify([before, count()]));`,
  );
  const [before, after] = JSON.parse(lines[0]);
  assert.deepEqual(after, before);
});

it('a gateway that is still there keeps no process alive', async () => {
  const { lines } = await runWell(
    `import { Gateway } from 'portlease/testing';
     const gateway = await Gateway.start();
     console.log(gateway.config.gateway);`,
  );
  assert.deepEqual(lines, ['127.0.0.1']);
});

it('a mapper may outlive its gateway', async () => {
  const gateway = await Gateway.start();
  const mapper = Mapper.start({ ...gateway.config, protocols: ['pcp'] });
  const lease = mapper.map({ port: 9001 });
  await lease.ready();
  await gateway.stop();
  assert.equal(await lease.stop(), 'unconfirmed');
  assert.equal(await mapper.stop(), 'unconfirmed');
});

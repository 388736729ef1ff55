// IPv6: a pinhole is a lease like any other.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { AddressFamily, Endpoint, Mapper, open, probe } from 'portlease';
import { Gateway } from 'portlease/testing';
import { ROOT } from './helpers.mjs';

/** The longest name that an interface may have. */
const INTERFACE = 'lan-with-15-let';
/** Runs what follows in a network of its own, with a router behind that interface that never answers. */
const NETWORK = `
ip link add ${INTERFACE} type veth peer name far && ip link set ${INTERFACE} up && ip link set far up &&
ip addr add 2600:1::5/64 dev ${INTERFACE} nodad && ip -6 route add default via fe80::1 dev ${INTERFACE} && exec "$@"
`;

/** A router that also has a firewall for IPv6; none, and a test that is skipped, if this machine has no IPv6. */
async function routerFor(t) {
  const gateway = await Gateway.start({ ipv6: true });
  t.after(() => gateway.stop());
  // Without IPv6 on loopback the gateway runs without the firewall.
  const probed = await probe({ ...gateway.config, family: 'ipv6' }).catch((error) => error);
  if (probed instanceof Error) {
    t.skip(`this machine has no IPv6 on loopback: ${probed.message}`);
    return undefined;
  }
  return gateway;
}

describe('IPv6', { concurrency: 4 }, () => {
  it('opens a pinhole for an address of this machine, which has brackets as text', async (t) => {
    const gateway = await routerFor(t);
    if (!gateway) return;
    const port = await open(9001, { ...gateway.config, transport: 'tcp', family: 'ipv6', timeout: 10_000 });
    const { family, external, externalPort, transport } = port.snapshot();
    assert.deepEqual([family, externalPort, transport], [AddressFamily.IPV6, 9001, 'tcp']);
    assert.deepEqual([external.address, external.port, `${external}`], ['::1', 9001, '[::1]:9001']);
    assert.equal(JSON.stringify({ external }), '{"external":"[::1]:9001"}');
    assert.deepEqual([`${port.external}`, port.externalPort, port.addressClass], ['[::1]:9001', 9001, 'reserved']);
    assert.deepEqual(
      gateway.mappings().map(({ internal }) => internal),
      ['[::1]:9001'],
    );
    assert.equal(await port.stop(), 'released');
    assert.deepEqual(gateway.mappings(), []);
  });

  it('and IPv4 have leases for one port, and events tell which', async (t) => {
    const gateway = await routerFor(t);
    if (!gateway) return;
    const mapper = Mapper.start({ ...gateway.config, protocols: ['pcp'] }).ref();
    t.after(() => mapper.stop());
    const leases = Object.values(AddressFamily).map((family) => mapper.map({ port: 9001, family }));
    assert.equal(mapper.ensure({ port: 9001, family: 'ipv6' }), leases[1]);
    leases.push(...mapper.mapBoth({ port: 9002, family: 'ipv6' }));
    const families = await Promise.all(leases.map(async (lease) => (await lease.ready()).family));
    assert.deepEqual(families, ['ipv4', 'ipv6', 'ipv6', 'ipv6']);
    assert.equal(gateway.mappings().length, 4);
    const told = {};
    for (const _ of leases) {
      const { lease, family } = await mapper.nextEvent(AbortSignal.timeout(10_000));
      told[lease] = family;
    }
    assert.deepEqual(told, { 1: 'ipv4', 2: 'ipv6', 3: 'ipv6', 4: 'ipv6' });
    assert.equal(mapper.snapshot().gateway, '127.0.0.1');
    assert.equal(await leases[1].stop(), 'released');
    assert.equal(leases[0].active, true);
  });

  it('has probes of its own', async (t) => {
    const gateway = await routerFor(t);
    if (!gateway) return;
    const report = await probe({ ...gateway.config, family: 'ipv6' });
    assert.deepEqual([report.gateway, report.localAddress], ['::1', '::1']);
    const offers = report.protocols.filter(({ error }) => error === null);
    assert.deepEqual(
      offers.map(({ protocol }) => protocol),
      ['pcp', 'upnp'],
    );
    const mapper = Mapper.start(gateway.config);
    t.after(() => mapper.stop());
    assert.equal((await mapper.probe()).gateway, '127.0.0.1');
    assert.equal((await mapper.probe({ family: 'ipv6', signal: AbortSignal.timeout(10_000) })).gateway, '::1');
    await assert.rejects(mapper.probe({ family: 'ipv6', signal: AbortSignal.abort() }), { name: 'AbortError' });
    assert.deepEqual(gateway.mappings(), []);
  });

  it('is named ipv6: another name is invalid and says what is allowed', async (t) => {
    const mapper = Mapper.start();
    t.after(() => mapper.stop());
    const invalid = { kind: 'invalid', message: 'family: `ipx` is not one of ipv4, ipv6' };
    const wrong = { port: 9001, family: 'ipx' };
    for (const call of ['map', 'ensure', 'mapBoth']) assert.throws(() => mapper[call](wrong), invalid);
    await assert.rejects(open(9001, { family: 'ipx' }), invalid);
    await assert.rejects(mapper.probe({ family: 'ipx' }), invalid);
    await assert.rejects(probe({ family: 'ipx' }), invalid);
    await assert.rejects(probe({ family: 6 }), { kind: 'invalid', message: /^family: must be a string/ });
    const outside = { kind: 'invalid', message: /^externalPort: must be the internal port 9001 with IPv6/ };
    assert.throws(() => mapper.map({ port: 9001, externalPort: 80, family: 'ipv6' }), outside);
  });

  it('takes an endpoint apart and puts it together', () => {
    for (const [text, address, port] of [
      ['[2001:db8::7]:4000', '2001:db8::7', 4000],
      ['203.0.113.7:4000', '203.0.113.7', 4000],
    ]) {
      const endpoint = new Endpoint(text);
      assert.deepEqual([endpoint.address, endpoint.port, `${endpoint}`], [address, port, text]);
    }
  });

  it('gateways may have a scope, which names their interface', async (t) => {
    const mapper = Mapper.start({ gateway: 'fe80::1%no-such', retry: 'never' });
    t.after(() => mapper.stop());
    const unknown = { kind: 'invalid', message: /^gateway: there is no interface `no-such`; there are / };
    await assert.rejects(mapper.map({ port: 9001, family: 'ipv6' }).ready(), unknown);
    const other = { kind: 'invalid', message: /^gateway: the scope of fe80::1%eth0 is not the interface `eth1`/ };
    assert.throws(() => Mapper.start({ gateway: 'fe80::1%eth0', interface: 'eth1' }), other);
    const long = { kind: 'invalid', message: /^gateway: the scope of .* 1 to 15 bytes$/ };
    assert.throws(() => Mapper.start({ gateway: 'fe80::1%a-name-of-16-let' }), long);
  });

  it('routers with a link-local address keep their scope', (t) => {
    const scoped = `fe80::1%${INTERFACE}`;
    for (const named of ['{}', `{ gateway: '${scoped}' }`]) {
      const code = `import { Mapper } from 'portlease';
        const mapper = Mapper.start({ ...${named}, protocols: ['pcp'] });
        mapper.map({ port: 9001, family: 'ipv6' });
        const error = await mapper.probe({ family: 'ipv6' }).catch((error) => error);
        console.log(JSON.stringify([error.message, mapper.snapshot().gateway]));
        await mapper.stop();`;
      const program = [process.execPath, '--input-type=module', '--eval', code];
      const { error, stdout, stderr } = spawnSync('unshare', ['-rn', 'sh', '-c', NETWORK, 'sh', ...program], {
        cwd: ROOT,
        encoding: 'utf8',
        timeout: 30_000,
      });
      if (error?.code === 'ENOENT' || /unshare|RTNETLINK|ip: not found/.test(stderr)) {
        t.skip(`no network of one's own here: ${error ?? stderr}`);
        return;
      }
      assert.equal(stderr, '');
      const [message, gateway] = JSON.parse(stdout);
      assert.equal(gateway, scoped);
      assert.ok(message.startsWith(`gateway ${scoped} opens no pinholes: `), message);
    }
  });
});

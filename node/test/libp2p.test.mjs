// The client for libp2p: by itself, and in the real @libp2p/upnp-nat.

import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { describe, it } from 'node:test';
import { portMappingClient } from 'portlease/libp2p';
import { isMappable, startService } from './consumers/libp2p.mjs';
import { gatewayFor } from './helpers.mjs';

const PCP_ALONE = { natPmp: false, upnp: false };

async function found(client) {
  const gateways = [];
  for await (const gateway of client.findGateways({ signal: AbortSignal.timeout(5000) })) gateways.push(gateway);
  return gateways;
}

async function routerFor(t, settings) {
  const gateway = await gatewayFor(t, settings);
  const client = portMappingClient(gateway.config);
  const [router] = await found(client);
  t.after(() => router.stop());
  return { gateway, client, router };
}

describe('the client for libp2p', { concurrency: 4 }, () => {
  it('finds the router, again and again the same', async (t) => {
    const { client, router } = await routerFor(t);
    assert.equal(router.host, '127.0.0.1');
    assert.equal(router.family, 'IPv4');
    assert.equal((await found(client))[0], router);
    const named = await client.getGateway(new URL('http://127.0.0.1:5000/rootDesc.xml'));
    assert.equal(named.id, router.id);
    await named.stop();
  });

  it('finds nothing where there is nothing, and says what is wrong with its options', async (t) => {
    const gateway = await gatewayFor(t, { pcp: false, natPmp: false, upnp: false });
    assert.deepEqual(await found(portMappingClient(gateway.config)), []);
    await assert.rejects(found(portMappingClient({ ttl: 1 })), { kind: 'invalid' });
    const silent = await gatewayFor(t, { faults: { pcp: 'silent', natPmp: 'silent', upnp: 'silent' } });
    const search = portMappingClient(silent.config).findGateways({ signal: AbortSignal.timeout(50) });
    assert.deepEqual(await search.next(), { done: true, value: undefined });
  });

  it('maps, tells the external address, and unmaps', async (t) => {
    const { gateway, router } = await routerFor(t);
    assert.equal(await router.externalIp(), '192.0.1.1');
    const mapping = await router.map(9001, '127.0.0.1', { protocol: 'udp', externalPort: 80 });
    assert.deepEqual(mapping, {
      externalHost: '192.0.1.1',
      externalPort: 80,
      internalHost: '127.0.0.1',
      internalPort: 9001,
      protocol: 'UDP',
    });
    assert.deepEqual(await router.map(9001, '127.0.0.1', { protocol: 'udp', externalPort: 80 }), mapping);
    for await (const { internalHost, protocol } of router.mapAll(9002)) {
      assert.deepEqual([internalHost, protocol], ['127.0.0.1', 'TCP']);
    }
    assert.equal(gateway.mappings().length, 2);
    await router.unmap(9001);
    await router.unmap(9999);
    assert.equal(gateway.mappings().length, 1);
    await router.stop();
    assert.deepEqual(gateway.mappings(), []);
    // libp2p goes on with the same router when it is started again.
    await router.map(9001, '127.0.0.1');
    assert.equal(gateway.mappings().length, 1);
  });

  it('tells the external address of a router that has PCP alone, and leaves nothing there', async (t) => {
    const { gateway, router } = await routerFor(t, PCP_ALONE);
    assert.deepEqual(await Promise.all([router.externalIp(), router.externalIp()]), ['192.0.1.1', '192.0.1.1']);
    assert.deepEqual(gateway.mappings(), []);
    gateway.setFaults({ tableFull: true });
    await assert.rejects(router.externalIp(), { kind: 'refused' });
  });

  it('rejects a mapping whose external address the router does not know, and leaves nothing there', async (t) => {
    const { gateway, router } = await routerFor(t, {
      pcp: false,
      natPmp: false,
      faults: { emptyExternalAddress: true },
    });
    await assert.rejects(router.map(9001, '127.0.0.1'), { kind: 'unavailable', message: /external address/ });
    await gateway.waitFor(({ mappings }) => mappings.length === 0);
  });

  it('rejects what the router refuses, and maps it when it no longer does', async (t) => {
    const { gateway, router } = await routerFor(t, { faults: { tableFull: true } });
    await assert.rejects(router.map(9001, '127.0.0.1'), { kind: 'refused' });
    await assert.rejects(router.map(9001, '127.0.0.1', { protocol: 'sctp' }), { kind: 'invalid' });
    gateway.setFaults({ tableFull: false });
    assert.equal((await router.map(9001, '127.0.0.1')).externalPort, 9001);
  });
});

describe('@libp2p/upnp-nat', () => {
  const addresses = Object.values(networkInterfaces()).flat();
  const address = addresses.find((one) => one.family === 'IPv4' && !one.internal && isMappable(one.address))?.address;
  const skip = address ? false : 'libp2p maps no loopback address, and this machine has no other private one';

  for (const [name, settings] of Object.entries({ 'a router': {}, 'a router with PCP alone': PCP_ALONE })) {
    it(`has its ports mapped by ${name}, and unmapped when it is stopped`, { skip, timeout: 30_000 }, async (t) => {
      const gateway = await gatewayFor(t, settings);
      const client = portMappingClient(gateway.config);
      const service = await startService({ portMappingClient: client, address, port: 9001 });
      assert.deepEqual(await service.mapped, [address, 9001, '192.0.1.1', 9001, 'tcp']);
      const [mapping] = gateway.mappings();
      assert.deepEqual([mapping.transport, mapping.internal], ['tcp', `${address}:9001`]);
      await service.stop();
      assert.deepEqual(gateway.mappings(), []);
    });
  }
});

// Uses every name that the package exports, with the types that it promises. Compiled as an ES module and as CommonJS,
// and run.

import assert from 'node:assert/strict';
import {
  type ActiveLeaseSnapshot,
  AddressClass,
  AddressFamily,
  type ChangedOptions,
  type DeleteOptions,
  Endpoint,
  type ErrorCode,
  type ErrorDetail,
  ErrorKind,
  type ErrorReport,
  EventKind,
  type ExitedEvent,
  type ExternalAddressOptions,
  externalAddress,
  type FailedEvent,
  type FamilyOptions,
  type GatewayReport,
  type InactiveLeaseSnapshot,
  type Lease,
  type LeaseEventMap,
  type LeaseSnapshot,
  LeaseState,
  LOG_CHANNEL,
  LogLevel,
  type LogRecord,
  type MapOptions,
  type MappedEvent,
  Mapper,
  type MapperEvent,
  type MapperEventMap,
  type MapperOptions,
  type MapperSnapshot,
  MappingProtocol,
  NatClass,
  type NetworkChangedEvent,
  type OpenOptions,
  type OpenPort,
  open,
  PortLeaseError,
  type PortLeaseErrorOptions,
  type ProbeOptions,
  Protocol,
  type ProtocolReport,
  probe,
  Release,
  type RetryPolicy,
  type RevokedEvent,
  type SignalOptions,
  type TableEntry,
  Transport,
  type WaitOptions,
} from 'portlease';
import {
  type MapPortOptions,
  type PortMapping,
  type PortMappingClient,
  type PortMappingGateway,
  type PortProtocol,
  portMappingClient,
} from 'portlease/libp2p';
import NatAPIByDefault, {
  type Callback,
  NatAPI,
  type NatAPIOptions,
  type NatAPIPort,
  type PortArguments,
} from 'portlease/nat-api';
import natUpnp, {
  Client,
  type ClientOptions,
  createClient,
  type GetMappingsOptions,
  type Mapping,
  type MappingOptions,
  type UnmappingOptions,
  type Callback as UpnpCallback,
  type Endpoint as UpnpPort,
  type Gateway as UpnpRouter,
} from 'portlease/nat-upnp';
import {
  type Announcement,
  type Faults,
  Gateway,
  type GatewayConfig,
  type GatewayMapping,
  type GatewayOptions,
  type GatewayState,
  type HttpBody,
  type Mode,
  type NameEncoding,
  type SecondDevice,
  type StaticMapping,
  type WanService,
} from 'portlease/testing';

/** Does not compile unless both are the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(..._: Same<A, B> extends true ? [] : ['these types differ']): void {}

same<ErrorKind, 'unavailable' | 'timeout' | 'transport' | 'refused' | 'invalid' | 'stopped' | 'internal'>();
same<LeaseState, 'idle' | 'probing' | 'installed' | 'renewing' | 'revoked' | 'exited'>();
same<EventKind, keyof MapperEventMap>();
same<Protocol, 'pcp' | 'nat-pmp' | 'upnp'>();
same<MappingProtocol, Protocol | 'none'>();
same<Transport, 'udp' | 'tcp'>();
same<NatClass, 'open' | 'unknown'>();
same<AddressClass, 'public' | 'cgnat' | 'private' | 'reserved' | 'unknown'>();
same<Release, 'released' | 'unconfirmed' | 'pending'>();
same<AddressFamily, 'ipv4' | 'ipv6'>();
same<LeaseSnapshot, ActiveLeaseSnapshot | InactiveLeaseSnapshot>();
same<Extract<ErrorCode, `${string}REFUSED`>, 'ERR_PORTLEASE_REFUSED'>();
same<MapperEvent['kind'], EventKind>();
same<keyof LeaseEventMap, Exclude<EventKind, 'network-changed'>>();

/** Each form of a snapshot has its own fields. */
function describe(snapshot: LeaseSnapshot): string {
  if (snapshot.active) {
    same<typeof snapshot, ActiveLeaseSnapshot>();
    const external: Endpoint | null = snapshot.external;
    const { lifetime, externalPort }: { lifetime: number | null; externalPort: number } = snapshot;
    return `${external?.address}:${externalPort} by ${snapshot.protocol}, ${lifetime}`;
  }
  same<typeof snapshot.external, null>();
  const error: ErrorReport | null = snapshot.lastError;
  return error ? error.message : snapshot.state;
}

/** And each form of an event. */
function tell(event: MapperEvent): string {
  const { kind } = event;
  if (kind === EventKind.INSTALLED || kind === EventKind.RENEWED || kind === EventKind.CHANGED) {
    same<typeof event, MappedEvent<'installed'> | MappedEvent<'renewed'> | MappedEvent<'changed'>>();
    const external: Endpoint | null = event.external;
    return `${external?.port ?? event.externalPort}`;
  }
  if (kind === EventKind.REPAIRED) same<typeof event, MappedEvent<'repaired'>>();
  if (kind === EventKind.FAILED) same<typeof event, FailedEvent>();
  if (kind === EventKind.REVOKED) same<typeof event, RevokedEvent>();
  if (kind === EventKind.EXITED) same<typeof event, ExitedEvent>();
  if (kind === EventKind.NETWORK_CHANGED) same<typeof event, NetworkChangedEvent>();
  return event.error?.message ?? kind;
}

async function main(): Promise<void> {
  const mode: Mode = 'normal';
  const httpBody: HttpBody = 'normal';
  const nameEncoding: NameEncoding = 'latin1';
  const secondDevice: SecondDevice = 'none';
  const wanService: WanService = 'normal';
  const faults: Faults = { pcp: mode, natPmp: { refuse: 2 }, httpBody, nameEncoding, secondDevice, wanService };
  // @ts-expect-error there is no such switch
  await assert.rejects(Gateway.start({ faults: { nat_pmp: 'off' } }), { code: 'ERR_PORTLEASE_INVALID' });
  const settings: GatewayOptions = { upnp: false, faults };
  await using gateway = await Gateway.start(settings);
  const retry: RetryPolicy = { min: 100, max: 1000 };
  const protocols = [Protocol.PCP, 'nat-pmp'] as const;
  const options: MapperOptions = { ...gateway.config, retry, protocols, checkInterval: 0, stateDir: undefined };
  await using mapper = Mapper.start(options);

  const signal: SignalOptions = { signal: new AbortController().signal };
  const first = mapper.events(signal).next();
  const heard: string[] = [];
  mapper.on('changed', (event) => same<typeof event, MappedEvent<'changed'>>());
  mapper.once(EventKind.INSTALLED, ({ external }) => heard.push(`${external}`));
  // @ts-expect-error there is no such event
  mapper.on('error', () => {});

  const request: MapOptions = { port: 9001, transport: Transport.UDP };
  const lease: Lease = mapper.map(request);
  lease.on('failed', ({ lease, error }) => same<[typeof lease, typeof error], [number, ErrorReport]>());
  lease.ref().once('exited', ({ lease }) => heard.push(`${lease} exited`));
  const ofLease = lease.events(signal);
  const wait: WaitOptions = { timeout: 5000, signal: AbortSignal.timeout(5000) };
  const ready: ActiveLeaseSnapshot = await lease.ready(wait);
  assert.equal(describe(ready), '192.0.1.1:9001 by pcp, 3600000');
  const since: ChangedOptions = { since: ready.revision, ...wait, timeout: 1 };
  await assert.rejects(lease.changed(since), { code: 'ERR_PORTLEASE_TIMEOUT' });
  // @ts-expect-error snapshots are read-only
  assert.throws(() => (ready.id = 2), TypeError);
  // @ts-expect-error there is no such option
  assert.throws(() => mapper.map({ port: 9002, transports: 'udp' }), { code: 'ERR_PORTLEASE_INVALID' });

  await lease.ready(AbortSignal.timeout(5000));
  // @ts-expect-error leases are made by mappers
  assert.throws(() => new (lease.constructor as typeof Lease)(), TypeError);

  const repaired: ActiveLeaseSnapshot = await lease.repair(wait);
  assert.ok(repaired.revision > ready.revision);
  same<ReturnType<Mapper['networkChanged']>, void>();
  const warning: ErrorReport | null = mapper.snapshot().lastError;
  assert.equal(warning, null);

  const again: Lease = mapper.ensure(request);
  const [known]: Lease[] = mapper.leases();
  assert.deepEqual([again === lease, known === lease], [true, true]);
  same<typeof lease.state, LeaseState>();
  const seen: [Endpoint | null, number | null, AddressClass] = [lease.external, lease.externalPort, lease.addressClass];
  assert.equal(`${seen}`, '192.0.1.1:9001,9001,public');
  const [udp, tcp]: [Lease, Lease] = mapper.mapBoth({ port: 9006, ttl: 60_000, description: 'both' });
  await Promise.all([udp.ready(), tcp.ready()]);
  await Promise.all([udp.stop(), tcp.stop()]);
  const asked: ExternalAddressOptions = { ...options, ...wait };
  const address: string = await externalAddress(asked);
  assert.equal(address, await mapper.externalAddress(wait));
  const ofFamily: FamilyOptions = { ...signal, family: AddressFamily.IPV4 };
  const probing: ProbeOptions = { ...options, ...ofFamily };
  same<Awaited<ReturnType<typeof probe>>, GatewayReport>();
  assert.equal((await probe(probing)).protocols.length, 2);
  const table: readonly TableEntry[] | null = await mapper.table(signal).catch(() => null);
  const deletion: DeleteOptions = { externalPort: 9001, transport: 'udp', anyHost: false };
  const deleted: TableEntry | null = await mapper.delete(deletion).catch(() => null);
  assert.deepEqual([table, deleted], [null, null]);
  const details: readonly ErrorDetail[] = lease.snapshot().lastError?.details ?? [];
  const more: PortLeaseErrorOptions = { details, advice: 'none', retryAfter: 1, cause: undefined };
  assert.equal(new PortLeaseError('refused', 'no', more).advice, 'none');
  const record: Partial<LogRecord> = { level: LogLevel.INFO };
  assert.deepEqual([record.level, LOG_CHANNEL], ['info', 'portlease:log']);

  const { value } = await first;
  assert.ok(value);
  assert.equal(tell(value), '9001');
  const whole: MapperSnapshot = mapper.snapshot();
  assert.deepEqual(whole.leases.map(describe).length, 1);
  const report: GatewayReport = await mapper.probe();
  const answers: readonly ProtocolReport[] = report.protocols;
  for (const answer of answers) {
    if (answer.error === null) same<typeof answer.roundTrip, number>();
    else same<typeof answer.externalAddress, null>();
  }
  assert.deepEqual(heard, [String(new Endpoint('192.0.1.1:9001'))]);
  const [mapping]: readonly GatewayMapping[] = gateway.mappings();
  assert.equal(mapping?.externalPort, 9001);
  const extra: StaticMapping = { transport: 'tcp', externalPort: 80, internal: '127.0.0.9:80' };
  gateway.addMapping(extra);
  const state: GatewayState = await gateway.waitFor(({ mappings }) => mappings.length === 2);
  const announcement: Announcement = 'ssdpAlive';
  gateway.announce(announcement, '127.0.0.1:1900');
  const firewall: GatewayConfig | null = gateway.ipv6;
  assert.deepEqual([firewall, gateway.noIpv6], [null, null]);
  assert.equal(state.externalAddress, '192.0.1.1');

  const whatever: OpenOptions = { ...gateway.config, transport: 'tcp', externalPort: 80, exact: true, retry: 'never' };
  try {
    const port: OpenPort = await open(9003, whatever);
    await port.stop();
    assert.fail('the port is taken');
  } catch (error) {
    assert.ok(error instanceof PortLeaseError);
    const code: ErrorCode = error.code;
    assert.deepEqual([code, error.kind], ['ERR_PORTLEASE_REFUSED', ErrorKind.REFUSED]);
  }

  const config: GatewayConfig = gateway.config;
  const natOptions: NatAPIOptions = { ...config, enableUPNP: false };
  assert.ok(new NatAPI(gateway.config));
  const nat: NatAPIByDefault = new NatAPI(natOptions);
  assert.equal(NatAPIByDefault, NatAPI);
  const port: NatAPIPort = { publicPort: 9004, protocol: 'UDP' };
  const callback: Callback<boolean> = (error, mapped) => assert.deepEqual([error, mapped], [null, true]);
  const args: PortArguments = [port, callback];
  assert.equal(await nat.map(...args), true);
  await nat.destroy();

  const upnpOptions: ClientOptions = gateway.config;
  const upnp: Client = natUpnp.createClient(upnpOptions);
  const outside: UpnpPort = { port: 9006 };
  const wanted: MappingOptions = { public: outside, private: 9006, ttl: 600 };
  await upnp.createMapping(wanted);
  const which: GetMappingsOptions = { local: true };
  const mappings: Mapping[] = await upnp.getMappings(which);
  assert.ok(mappings.some(({ public: { port } }) => port === 9006));
  const told: UpnpCallback<string> = (error, address) => assert.deepEqual([error, address], [null, '192.0.1.1']);
  await new Promise<void>((resolve) => upnp.externalIp((...said) => resolve(told(...said))));
  const upnpRouter: UpnpRouter = (await upnp.getGateway()).gateway;
  assert.equal(upnpRouter.description, 'http://127.0.0.1/');
  const gone: UnmappingOptions = { public: outside };
  await upnp.removeMapping(gone);
  upnp.close();
  assert.deepEqual(natUpnp, { Client, createClient });

  const client: PortMappingClient = portMappingClient(gateway.config);
  const protocol: PortProtocol = 'udp';
  const how: MapPortOptions = { protocol };
  for await (const router of client.findGateways()) {
    const gateway: PortMappingGateway = router;
    const mapped: PortMapping = await gateway.map(9005, '127.0.0.1', how);
    assert.equal(mapped.protocol, 'UDP');
    await gateway.stop();
  }

  const release: Release = await lease.detach();
  assert.equal(release, Release.RELEASED);
  assert.deepEqual(heard, ['192.0.1.1:9001', '1 exited']);
  const kinds: string[] = [];
  for await (const { kind, lease } of ofLease) kinds.push(`${kind} ${lease}`);
  assert.deepEqual(kinds, ['installed 1', 'repaired 1', 'exited 1']);
  assert.deepEqual(
    [lease.snapshot().state, NatClass.OPEN, AddressClass.PUBLIC, MappingProtocol.NONE],
    [LeaseState.EXITED, 'open', 'public', 'none'],
  );
}

main().then(() => console.log('every type used'));

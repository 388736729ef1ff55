import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.portlease.AddressFamily;
import io.portlease.Config;
import io.portlease.ErrorKind;
import io.portlease.EventKind;
import io.portlease.Lease;
import io.portlease.MapRequest;
import io.portlease.Mapper;
import io.portlease.PortLease;
import io.portlease.PortLeaseException;
import io.portlease.Protocol;
import io.portlease.Release;
import io.portlease.RetryPolicy;
import io.portlease.Transport;
import io.portlease.testing.Faults;
import io.portlease.testing.Gateway;
import io.portlease.testing.GatewayExtension;
import io.portlease.testing.GatewaySettings;
import io.portlease.testing.Mode;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a Java program sees. */
@ExtendWith(GatewayExtension.class)
class PortsTest {
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final Faults SILENCE = new Faults().pcp(Mode.SILENT).natPmp(Mode.SILENT).upnp(Mode.SILENT);

    @Test
    void theExampleMapsBothPortsAndReleasesThem(Gateway gateway, Config config) throws Exception {
        Ports.main(new String[] {config.getGateway(), config.getPcpPort().toString(), config.getSsdpAddress()});
        assertEquals(List.of(), gateway.mappings());
        assertEquals(2L, gateway.state().getCounters().get("pcp_map"));
    }

    @Test
    void theExampleOfTheMigrationPageMapsItsPortAndReleasesIt(Gateway gateway, Config config) throws Exception {
        PrintStream screen = System.out;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        System.setOut(new PrintStream(said, true));
        try {
            Migrated.main(new String[] {config.getGateway(), config.getPcpPort().toString(), config.getSsdpAddress()});
        } finally {
            System.setOut(screen);
        }
        assertEquals(List.of("192.0.1.1:8080", "8080 tcp 127.0.0.1"), said.toString().lines().collect(Collectors.toList()));
        assertEquals(List.of(), gateway.mappings());
    }

    @Test
    void blockingCallsAnswerInJavasTypes(Gateway gateway, Config config) throws Exception {
        try (Mapper mapper = Mapper.start(config)) {
            Lease lease = mapper.map(4000, Transport.UDP);
            assertEquals(Duration.ofHours(1), lease.ready(PATIENCE).getLifetime());
            assertEquals(EventKind.INSTALLED, mapper.nextEvent().getKind());
            assertEquals("192.0.1.1", mapper.probe().getProtocols().get(1).getExternalAddress());
            assertEquals("Lease(id=1, udp 4000, installed, external=192.0.1.1:4000)", lease.toString());
            assertEquals("Mapper(gateway=127.0.0.1, 1 of 1 leases active)", mapper.toString());
            long seen = lease.snapshot().getRevision();
            assertTrue(lease.repair(PATIENCE).getRevision() > seen);
            assertTrue(lease.changed(seen).getActive());
            assertEquals(Release.RELEASED, lease.stop());
            Lease kept = mapper.map(4001, Transport.UDP);
            kept.ready();
            assertEquals(Release.RELEASED, kept.detach());
        }
        assertEquals(4001, gateway.mappings().get(0).getExternalPort());
    }

    @Test
    void futuresAnswerLikewiseAndOneThatIsCancelledLosesNothing(Gateway gateway, Config config) throws Exception {
        try (Lease lease = PortLease.openAsync(4002, Transport.TCP, config).get(30, TimeUnit.SECONDS)) {
            assertEquals(List.of(4002), List.of(lease.readyAsync().get().getInternalPort()));
        }
        try (Mapper mapper = Mapper.start(config)) {
            CompletableFuture<?> event = mapper.nextEventAsync();
            assertTrue(event.cancel(true));
            CompletableFuture<?> late = mapper.nextEventAsync(Duration.ofMillis(1));
            assertEquals(ErrorKind.TIMEOUT, kind(assertThrows(ExecutionException.class, late::get).getCause()));
            mapper.map(4003, Transport.UDP).ready(PATIENCE);
            assertEquals(EventKind.INSTALLED, mapper.nextEventAsync(PATIENCE).get().getKind());
            assertEquals(Release.RELEASED, mapper.stopAsync().get());
        }
        gateway.setFaults(new Faults().pcpDelayMs(200).natPmp(Mode.OFF).upnp(Mode.OFF));
        assertTrue(PortLease.openAsync(4004, Transport.UDP, config).cancel(true));
        gateway.waitFor(PATIENCE, state -> state.getMappings().isEmpty());
    }

    @Test
    void ipv6IsAFamilyLikeTheOther() throws Exception {
        try (Gateway router = Gateway.start(new GatewaySettings().ipv6(true)); Mapper mapper = Mapper.start(router.config())) {
            Lease lease = mapper.map(MapRequest.builder(4010, Transport.UDP).family(AddressFamily.IPV6).build());
            try {
                assertEquals("[::1]:4010", lease.ready(PATIENCE).getExternal());
            } catch (PortLeaseException.Unavailable error) {
                Assumptions.abort("this machine has no IPv6 on loopback: " + error.getMessage());
            }
            assertEquals(AddressFamily.IPV6, mapper.nextEvent(PATIENCE).getFamily());
            assertEquals("127.0.0.1", mapper.probe().getGateway());
            assertEquals("::1", mapper.probe(AddressFamily.IPV6).getGateway());
            assertEquals("::1", PortLease.probe(router.config(), AddressFamily.IPV6).getGateway());
            assertEquals("::1", PortLease.probeAsync(router.config(), AddressFamily.IPV6).get().getGateway());
        }
    }

    @Test
    void whatAMapperCanBeAskedIsThereForJava(Gateway gateway, Config config) throws Exception {
        assertEquals("192.0.1.1", PortLease.externalAddressAsync(config).get());
        assertEquals(3, PortLease.probe(config).getProtocols().size());
        try (Mapper mapper = Mapper.start(config)) {
            MapRequest request = MapRequest.builder(4000, Transport.UDP).ttl(Duration.ofMinutes(5)).description("game").build();
            Lease lease = mapper.ensure(request);
            assertEquals(lease, mapper.ensure(request));
            assertEquals(Transport.TCP, mapper.mapBoth(MapRequest.builder(4001, Transport.UDP).build()).getSecond().ready(PATIENCE).getTransport());
            assertEquals(3, mapper.leases().size());
            assertEquals("192.0.1.1", mapper.externalAddress(PATIENCE));
            assertEquals(3, mapper.table().size());
            assertEquals(null, mapper.delete(Transport.TCP, 9));
            lease.ready(PATIENCE);
            assertEquals("192.0.1.1:4000", lease.getExternal());
            assertTrue(lease.getActive());
            lease.repair(PATIENCE);
            PortLeaseException refused = assertThrows(PortLeaseException.Refused.class, () -> lease.repair(PATIENCE));
            assertTrue(refused.getRetryAfter().compareTo(Duration.ofSeconds(10)) <= 0);
            assertEquals(List.of(), refused.getDetails());
            assertEquals(null, refused.getAdvice());
            gateway.setFaults(new Faults().pcp(Mode.refuse(2)).natPmp(Mode.OFF).upnp(Mode.OFF));
            refused = assertThrows(PortLeaseException.Refused.class, () -> mapper.map(4009, Transport.UDP).ready(PATIENCE));
            assertEquals("NOT_AUTHORIZED", refused.getDetails().get(0).getName());
            assertTrue(refused.getAdvice().length() > 0);
        }
    }

    @Test
    void aWaitThatIsInterruptedEnds(Gateway gateway, Config config) throws Exception {
        gateway.setFaults(SILENCE);
        try (Mapper mapper = Mapper.start(config)) {
            Lease lease = mapper.map(4000, Transport.UDP);
            Thread.currentThread().interrupt();
            assertThrows(InterruptedException.class, () -> lease.ready());
        }
    }

    @Test
    void buildersSetEverythingAndWrongValuesAreNamed() {
        Config config = Config.builder().ttl(Duration.ofMinutes(5)).protocols(List.of(Protocol.UPNP)).interfaceName("lo")
            .retry(RetryPolicy.backoff(Duration.ofSeconds(1), null)).checkInterval(Duration.ZERO).build();
        assertEquals(Duration.ofMinutes(5), config.getTtl());
        assertEquals("lo", config.getInterface());
        assertEquals(Duration.ofSeconds(1), ((RetryPolicy.Backoff) config.getRetry()).getMin());
        Config wrong = Config.builder().pcpPort(70_000).retry(RetryPolicy.never()).build();
        PortLeaseException error = assertThrows(PortLeaseException.Invalid.class, () -> Mapper.start(wrong));
        assertEquals(ErrorKind.INVALID, error.getKind());
        assertEquals("pcpPort: must be between 1 and 65535, not 70000", error.getMessage());
    }

    @Test
    void theSimulatedRouterIsToldInJavasTypes() throws Exception {
        GatewaySettings settings = new GatewaySettings().upnp(false).natPmp(false).maxLifetime(120)
            .faults(new Faults().portErrors(Map.of(80, 718)).externalAddressText("quoted \"text\""));
        try (Gateway gateway = Gateway.start(settings)) {
            gateway.addMapping(Transport.TCP, 4000, "127.0.0.1:9");
            assertEquals(null, gateway.mappings().get(0).getProtocol());
            try (Lease lease = PortLease.open(MapRequest.builder(4001, Transport.UDP).build(), gateway.config())) {
                assertEquals(Protocol.PCP, gateway.mappings().get(0).getProtocol());
                assertEquals(Duration.ofSeconds(120), lease.snapshot().getLifetime());
            }
            gateway.reboot();
            assertEquals(0, gateway.mappings().size());
            assertThrows(PortLeaseException.Invalid.class, () -> gateway.setFaults(new Faults().loss(2.0)));
        }
    }

    private static ErrorKind kind(Throwable failure) {
        return ((PortLeaseException) failure).getKind();
    }
}

import io.portlease.*;
import java.time.Duration;

public class Migrated {
    public static void main(String[] arguments) throws PortLeaseException, InterruptedException {
        ConfigBuilder config = Config.builder().description("my server").ttl(Duration.ofHours(2));
        if (arguments.length == 3) { // a simulated gateway: address, PCP port, SSDP address
            config.gateway(arguments[0]).pcpPort(Integer.valueOf(arguments[1])).ssdpAddress(arguments[2]);
        }
        try (Mapper mapper = Mapper.start(config.build())) {
            Lease lease = mapper.map(MapRequest.builder(8080, Transport.TCP).exact(true).build()); // PortMappingAdd
            System.out.println(lease.ready(Duration.ofSeconds(5)).getExternal()); // GetExternalIP
            for (TableEntry entry : mapper.table()) { // PortMappingEntryGet
                System.out.println(entry.getExternalPort() + " " + entry.getTransport() + " " + entry.getInternalClient());
            }
        } // PortMappingDelete
    }
}

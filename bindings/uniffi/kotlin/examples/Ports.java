import io.portlease.*;
import java.time.Duration;

public class Ports {
    public static void main(String[] arguments) throws PortLeaseException, InterruptedException {
        ConfigBuilder config = Config.builder().ttl(Duration.ofMinutes(10));
        if (arguments.length == 3) { // a simulated gateway: address, PCP port, SSDP address
            config.gateway(arguments[0]).pcpPort(Integer.valueOf(arguments[1])).ssdpAddress(arguments[2]);
        }
        try (Mapper mapper = Mapper.start(config.build())) {
            Lease game = mapper.map(4000, Transport.UDP); // returns at once
            Lease web = mapper.map(MapRequest.builder(8080, Transport.TCP).externalPort(80).exact(true).build());
            try {
                System.out.println(game.ready(Duration.ofSeconds(5)).getExternal());
            } catch (PortLeaseException error) {
                System.out.println("not yet (" + error.getKind() + "): " + error.getMessage()); // it keeps trying
            }
            web.readyAsync().thenAccept(state -> System.out.println(state.getExternal())).join();
            System.out.println(mapper.nextEvent(Duration.ofSeconds(5)).getKind()); // installed
            web.stop(); // this one alone
        } // the other one too
    }
}

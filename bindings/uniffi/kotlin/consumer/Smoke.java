import io.portlease.Config;
import io.portlease.Lease;
import io.portlease.Mapper;
import io.portlease.Transport;
import io.portlease.testing.Gateway;
import java.time.Duration;

/** Maps a port on a simulated router in the same process and releases it: the native library of this platform loads and works. */
public class Smoke {
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    public static void main(String[] arguments) throws Exception {
        try (Gateway gateway = Gateway.start()) {
            Config config = gateway.config();
            try (Mapper mapper = Mapper.start(config)) {
                Lease lease = mapper.map(4000, Transport.UDP);
                String external = lease.ready(PATIENCE).getExternal();
                if (!"192.0.1.1:4000".equals(external) || gateway.mappings().size() != 1) {
                    throw new AssertionError("mapped " + external + ", the router has " + gateway.mappings());
                }
            }
            if (!gateway.mappings().isEmpty()) {
                throw new AssertionError("the router still has " + gateway.mappings());
            }
        }
        System.out.println("mapped and released on " + System.getProperty("os.name") + " " + System.getProperty("os.arch"));
    }
}

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.io.IOException;
import java.util.List;

/**
 * A server that speaks MongoDB's protocol and keeps everything in memory.
 * It prints its connection string and stops when its input ends, so that it
 * does not outlive whoever started it.
 */
final class TestMongo {
    public static void main(String[] arguments) throws IOException {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new Version6());
        MongoServer server = new MongoServer(backend);
        System.out.println(server.bindAndGetConnectionString());
        while (System.in.read() >= 0) {
            // Nothing is said to it.
        }
        server.shutdownNow();
    }

    /** The driver does not talk to servers as old as this one says it is by itself. */
    private static final class Version6 implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(6, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 17;
        }
    }
}

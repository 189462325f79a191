import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** Starts one node in this virtual machine, with its plugins from the class path. The only argument is the home directory, with config/ in it. */
public final class Main {
    public static void main(String[] args) {
        try {
            start(Path.of(args[0]).toAbsolutePath());
        } catch (Throwable problem) {
            problem.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static void start(Path home) throws Exception {
        System.setProperty("opensearch.path.home", home.toString());
        LogConfigurator.registerErrorListener();
        Map<String, String> properties = Map.of("path.home", home.toString());
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(Settings.EMPTY, properties, home.resolve("config"), () -> "node");
        // Before anything that makes a logger.
        LogConfigurator.setNodeName("node");
        LogConfigurator.configure(environment);
        // The constructor that takes plugins is for subclasses.
        Node node = new Node(environment, List.of(Netty4Plugin.class), true) {};
        node.start();
        // All threads of a node are daemons.
        Thread.sleep(Long.MAX_VALUE);
    }
}

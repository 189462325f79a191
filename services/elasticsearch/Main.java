import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * Starts one node in this virtual machine. The stock start class needs parts of Elasticsearch that are not published as
 * artifacts. The only argument is the home directory, with config/ and modules/ in it.
 */
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
        Path config = home.resolve("config");
        System.setProperty("es.path.home", home.toString());
        System.setProperty("es.path.conf", config.toString());
        LogConfigurator.registerErrorListener();
        Map<String, String> properties = new HashMap<>(Map.of("path.home", home.toString()));
        Environment environment =
            InternalSettingsPreparer.prepareEnvironment(Settings.EMPTY, properties, config, () -> "node");
        // Before anything that makes a logger.
        LogConfigurator.setNodeName(environment.settings().get("node.name", "node"));
        LogConfigurator.configure(environment, true);
        Node node = new Node(environment, plugins(environment));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(node)));
        node.start();
        // All threads of a node are daemons.
        new Thread(Main::sleep, "keep-alive").start();
    }

    /** The public way asks the server's module for its exports; on the class path there is no such module. */
    private static PluginsLoader plugins(Environment environment) throws Exception {
        Set<?> modules = PluginsLoader.loadModulesBundles(environment.modulesDir());
        Set<?> plugins = PluginsLoader.loadPluginsBundles(environment.pluginsDir());
        Method create =
            PluginsLoader.class.getDeclaredMethod("createPluginsLoader", Set.class, Set.class, Map.class, boolean.class);
        create.setAccessible(true);
        return (PluginsLoader) create.invoke(null, modules, plugins, new HashMap<>(), false);
    }

    private static void stop(Node node) {
        try {
            node.prepareForClose();
            node.close();
        } catch (Exception problem) {
            problem.printStackTrace();
        }
    }

    private static void sleep() {
        try {
            Thread.sleep(Long.MAX_VALUE);
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }
}

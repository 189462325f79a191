package fusion;

import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.AsyncDataStream;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * The same fusion between servers, as a DataStream job in a local MiniCluster, with a checkpoint every second.
 *
 * <pre>
 * Kafka -> parse -> keyBy(annotation_id): newest -> keyBy(asset): fuse, every flush-ms
 *       -> render -> Cassandra (async I/O, in order) -> Elasticsearch (bulk)
 * </pre>
 *
 * Arguments: brokers, topic, cassandra, keyspace, url, index, checkpoints=DIR [restore=CHECKPOINT] [bounded=true] threads,
 * flush-ms, bulks=N (requests to Elasticsearch at once). Prints, if the input is bounded, when it read the first record and how
 * long it took from there, in seconds.
 */
public final class LiveJob {
    private static final AtomicLong FIRST = new AtomicLong();

    private LiveJob() {}

    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.ROOT);
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            String[] pair = arg.split("=", 2);
            options.put(pair[0], pair[1]);
        }
        long began = System.nanoTime();
        run(options);
        long first = FIRST.get();
        System.out.printf("{\"startup_s\":%.3f,\"job_s\":%.3f}%n", (first - began) / 1e9, (System.nanoTime() - first) / 1e9);
    }

    private static void run(Map<String, String> options) throws Exception {
        StreamExecutionEnvironment env = environment(options);
        var source = KafkaSource.<String>builder().setBootstrapServers(options.get("brokers")).setTopics(options.get("topic"))
            .setGroupId("flink-" + options.get("topic")).setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new SimpleStringSchema());
        if ("true".equals(options.get("bounded"))) source.setBounded(OffsetsInitializer.latest());
        var fields = Map.of("asset", Types.STRING, "bucket", Types.LONG, "deleted", Types.BOOLEAN,
            "children", Types.LIST(FusionJob.ANNOTATION));
        long flushMs = Long.parseLong(options.getOrDefault("flush-ms", "250"));
        DataStream<Upsert> documents = env.fromSource(source.build(), WatermarkStrategy.noWatermarks(), "annotations")
            .map(LiveJob::parse).returns(FusionJob.ANNOTATION)
            .keyBy(change -> change.id).process(new Newest()).returns(FusionJob.ANNOTATION)
            .keyBy(change -> change.asset).process(new FuseBuffered(flushMs)).returns(Types.POJO(Document.class, fields))
            .map(LiveJob::render).returns(TypeInformation.of(Upsert.class));
        var store = new CassandraUpsert(options.get("cassandra"), options.get("keyspace"));
        int bulks = Integer.parseInt(options.getOrDefault("bulks", "1"));
        AsyncDataStream.orderedWait(documents, store, 60, TimeUnit.SECONDS, 256).returns(TypeInformation.of(Upsert.class))
            .sinkTo(new BulkSink(options.get("url") + "/" + options.get("index"), bulks));
        env.execute("live");
    }

    private static Annotation parse(String line) throws Exception {
        FIRST.compareAndSet(0, System.nanoTime());
        return Json.parse(line);
    }

    private static Upsert render(Document document) throws Exception {
        Upsert upsert = new Upsert();
        upsert.asset = document.asset;
        upsert.startNs = document.bucket * Document.WIDTH_NS;
        if (document.deleted) return upsert;
        try (ByteArrayBuilder out = new ByteArrayBuilder()) {
            Json.write(document, out);
            upsert.json = new String(out.toByteArray(), StandardCharsets.UTF_8);
        }
        return upsert;
    }

    private static StreamExecutionEnvironment environment(Map<String, String> options) {
        int threads = Integer.parseInt(options.getOrDefault("threads", "1"));
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("pipeline.generic-types", "false");
        settings.setString("state.backend.type", "hashmap");
        settings.setString("taskmanager.numberOfTaskSlots", String.valueOf(threads));
        settings.setString("taskmanager.memory.managed.size", "128m");
        settings.setString("taskmanager.memory.network.min", "64m");
        settings.setString("taskmanager.memory.network.max", "64m");
        settings.setString("io.tmp.dirs", options.get("checkpoints"));
        settings.setString("execution.checkpointing.interval", "1s");
        settings.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        settings.setString("execution.checkpointing.storage", "filesystem");
        settings.setString("execution.checkpointing.dir", "file://" + options.get("checkpoints"));
        settings.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        settings.setString("restart-strategy.type", "fixed-delay");
        settings.setString("restart-strategy.fixed-delay.attempts", "1000");
        settings.setString("restart-strategy.fixed-delay.delay", "1s");
        if (options.containsKey("restore")) settings.setString("execution.state-recovery.path", options.get("restore"));
        return StreamExecutionEnvironment.createLocalEnvironment(threads, settings);
    }
}

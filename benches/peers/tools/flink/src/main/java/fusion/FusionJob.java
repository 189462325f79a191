package fusion;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.apache.flink.api.common.RuntimeExecutionMode;
import org.apache.flink.api.common.eventtime.TimestampAssigner;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;

/**
 * Temporal-intersection fusion as a Flink DataStream job in a local MiniCluster, without checkpoints.
 *
 * <pre>
 * source (NDJSON) -> parse -> keyBy(annotation_id): newest version, changes become removal and addition
 *                          -> keyBy(asset): fuse -> sink (renders, counts, forgets)
 * </pre>
 *
 * Variants: `batch` documents once, in batch mode; `stream-end` the same in streaming mode; `stream-1s` every second;
 * `stream-each` with each change. A suffix `-lists` counts children without rendering documents, `-inserts` leaves the
 * operator by annotation_id out: right only without deletions and without moves between assets.
 *
 * Arguments: input=DIR variant=NAME threads=N scratch=DIR runs=N verify=true documents=FILE. The last of several runs in
 * one JVM is the one that counts, with a warm JIT; the first one is reported beside it.
 */
public final class FusionJob {
    static final TypeInformation<Annotation> ANNOTATION = TypeInformation.of(Annotation.class);

    private FusionJob() {}

    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.ROOT);
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            String[] pair = arg.split("=", 2);
            options.put(pair[0], pair[1]);
        }
        String variant = options.get("variant");
        boolean verify = "true".equals(options.get("verify"));
        int runs = Integer.parseInt(options.getOrDefault("runs", "1"));
        double started = Double.parseDouble(System.getenv().getOrDefault("PEER_STARTED_S", "0"));
        String first = null;
        double startup = 0;
        for (int run = 0; run < runs; run++) {
            Tally.reset(!variant.endsWith("-lists"), verify, options.containsKey("documents"));
            run(options, variant);
            if (run == 0) {
                first = Tally.times();
                startup = Tally.began() / 1e9 - started;
            }
        }
        if (options.containsKey("documents")) Tally.writeDocuments(Path.of(options.get("documents")));
        System.out.printf("{%s,%s,\"startup_s\":%.3f,\"first\":{%s},\"version\":\"%s\"}%n",
            Tally.counts(), Tally.times(), startup, first, EnvironmentInformation.getVersion());
    }

    private static void run(Map<String, String> options, String variant) throws Exception {
        String form = variant.replace("-lists", "").replace("-inserts", "");
        boolean batch = form.equals("batch");
        StreamExecutionEnvironment env = environment(options, batch);
        // Batch mode sorts by (key, timestamp), and equal ones come in any order: the place in the file is the timestamp.
        WatermarkStrategy<String> times = WatermarkStrategy.noWatermarks();
        if (batch) times = times.withTimestampAssigner(context -> new Place());
        var path = new org.apache.flink.core.fs.Path(options.get("input"));
        FileSource<String> source = FileSource.forRecordStreamFormat(new TextLineInputFormat(), path).build();
        DataStream<Annotation> changes = env.fromSource(source, times, "annotations").map(new Parse()).returns(ANNOTATION);
        if (!variant.endsWith("-inserts")) {
            KeyedProcessFunction<String, Annotation, Annotation> newest = batch ? new Newest.AtEnd() : new Newest();
            changes = changes.keyBy(change -> change.id).process(newest).returns(ANNOTATION);
        }
        KeyedProcessFunction<String, Annotation, Document> fuse = switch (form) {
            case "batch", "stream-end" -> new FuseBuffered(0);
            case "stream-1s" -> new FuseBuffered(1_000);
            case "stream-each" -> new FuseEach();
            default -> throw new IllegalArgumentException("there is no variant " + variant);
        };
        var fields = Map.of("asset", Types.STRING, "bucket", Types.LONG, "deleted", Types.BOOLEAN,
            "children", Types.LIST(ANNOTATION));
        changes.keyBy(change -> change.asset).process(fuse).returns(Types.POJO(Document.class, fields)).sinkTo(new Counting());
        env.execute(variant);
    }

    private static StreamExecutionEnvironment environment(Map<String, String> options, boolean batch) {
        int threads = Integer.parseInt(options.getOrDefault("threads", "1"));
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        // To fail rather than to fall back to Kryo.
        settings.setString("pipeline.generic-types", "false");
        settings.setString("state.backend.type", "hashmap");
        settings.setString("taskmanager.numberOfTaskSlots", String.valueOf(threads));
        settings.setString("taskmanager.memory.managed.size", "1g");
        settings.setString("taskmanager.memory.network.min", "128m");
        settings.setString("taskmanager.memory.network.max", "128m");
        settings.setString("io.tmp.dirs", options.getOrDefault("scratch", "."));
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(threads, settings);
        env.setRuntimeMode(batch ? RuntimeExecutionMode.BATCH : RuntimeExecutionMode.STREAMING);
        return env;
    }

    private static final class Parse extends RichMapFunction<String, Annotation> {
        private transient boolean running;

        @Override public Annotation map(String line) throws Exception {
            if (!running) Tally.begin();
            running = true;
            return Json.parse(line);
        }
    }

    private static final class Place implements TimestampAssigner<String> {
        private long lines;

        @Override public long extractTimestamp(String line, long recordTimestamp) { return lines++; }
    }

    private static final class Counting implements Sink<Document> {
        @Override public SinkWriter<Document> createWriter(WriterInitContext context) {
            Tally.Counter counter = new Tally.Counter();
            return new SinkWriter<>() {
                @Override public void write(Document document, Context c) throws java.io.IOException { counter.add(document); }
                @Override public void flush(boolean endOfInput) {}
                @Override public void close() { counter.close(); }
            };
        }
    }
}

package fusion;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Counts of events by user as a Flink DataStream job in a local MiniCluster, without checkpoints: each event puts out its
 * user's new count.
 *
 * Arguments: input=FILE threads=N scratch=DIR runs=N verify=true. The last of several runs in one JVM is the one that counts.
 */
public final class CountJob {
    private static final AtomicLong began = new AtomicLong();
    private static final AtomicLong ended = new AtomicLong();
    private static final AtomicLong emitted = new AtomicLong();
    private static volatile double cpuBefore;
    /** To verify: the newest count of each user. */
    private static volatile Map<String, Long> newest;

    private CountJob() {}

    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.ROOT);
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            String[] pair = arg.split("=", 2);
            options.put(pair[0], pair[1]);
        }
        boolean verify = "true".equals(options.get("verify"));
        double seconds = 0, cpuSeconds = 0;
        for (int run = 0; run < Integer.parseInt(options.getOrDefault("runs", "1")); run++) {
            began.set(0);
            ended.set(0);
            emitted.set(0);
            newest = verify ? new ConcurrentHashMap<>() : null;
            run(options);
            seconds = (ended.get() - began.get()) / 1e9;
            cpuSeconds = cpuSeconds() - cpuBefore;
        }
        String check = verify ? String.format("\"%016x\"", check()) : "null";
        System.out.printf("{\"emitted\":%d,\"check\":%s,\"job_s\":%.4f,\"job_cpu_s\":%.3f,\"version\":\"%s\"}%n",
            emitted.get(), check, seconds, cpuSeconds, EnvironmentInformation.getVersion());
    }

    private static void run(Map<String, String> options) throws Exception {
        int threads = Integer.parseInt(options.getOrDefault("threads", "1"));
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("pipeline.generic-types", "false");
        settings.setString("state.backend.type", "hashmap");
        settings.setString("taskmanager.numberOfTaskSlots", String.valueOf(threads));
        settings.setString("taskmanager.memory.network.min", "128m");
        settings.setString("taskmanager.memory.network.max", "128m");
        settings.setString("io.tmp.dirs", options.getOrDefault("scratch", "."));
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(threads, settings);
        var path = new org.apache.flink.core.fs.Path(options.get("input"));
        FileSource<String> source = FileSource.forRecordStreamFormat(new TextLineInputFormat(), path).build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "events")
            .map(new User()).returns(Types.STRING)
            .keyBy(user -> user)
            .process(new Count()).returns(Types.TUPLE(Types.STRING, Types.LONG))
            .sinkTo(new Putting());
        env.execute("counts");
    }

    private static double cpuSeconds() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    private static long check() {
        long sum = 0;
        for (Map.Entry<String, Long> entry : newest.entrySet()) {
            byte[] text = (entry.getKey() + ":" + entry.getValue()).getBytes(java.nio.charset.StandardCharsets.UTF_8);
            CRC32 crc = new CRC32();
            crc.update(text, 0, text.length);
            sum += crc.getValue();
        }
        return sum;
    }

    /** The user of an event. */
    private static final class User extends RichMapFunction<String, String> {
        private transient JsonFactory json;

        @Override public String map(String line) throws IOException {
            if (json == null) {
                json = new JsonFactory();
                if (began.compareAndSet(0, System.nanoTime())) cpuBefore = cpuSeconds();
            }
            try (JsonParser parser = json.createParser(line)) {
                parser.nextToken();
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    boolean isUser = "user".equals(parser.currentName());
                    parser.nextToken();
                    if (isUser) return parser.getText();
                    parser.skipChildren();
                }
            }
            throw new IOException("an event without a user: " + line);
        }
    }

    private static final class Count extends KeyedProcessFunction<String, String, Tuple2<String, Long>> {
        private transient ValueState<Long> count;

        @Override public void open(OpenContext context) {
            count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Types.LONG));
        }

        @Override public void processElement(String user, Context context, Collector<Tuple2<String, Long>> out) throws Exception {
            Long before = count.value();
            long now = before == null ? 1 : before + 1;
            count.update(now);
            out.collect(Tuple2.of(user, now));
        }
    }

    private static final class Putting implements Sink<Tuple2<String, Long>> {
        @Override public SinkWriter<Tuple2<String, Long>> createWriter(WriterInitContext context) {
            return new SinkWriter<>() {
                private long counts;

                @Override public void write(Tuple2<String, Long> count, Context c) {
                    counts++;
                    if (newest != null) newest.put(count.f0, count.f1);
                }

                @Override public void flush(boolean endOfInput) {}

                @Override public void close() {
                    emitted.addAndGet(counts);
                    counts = 0;
                    ended.accumulateAndGet(System.nanoTime(), Math::max);
                }
            };
        }
    }
}

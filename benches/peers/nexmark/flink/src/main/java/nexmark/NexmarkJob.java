package nexmark;

import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneOffset;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.file.src.FileSource;
import org.apache.flink.connector.file.src.reader.TextLineInputFormat;
import org.apache.flink.runtime.util.EnvironmentInformation;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.TableDescriptor;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.table.data.RowData;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.CloseableIterator;

/**
 * A query of Nexmark in Flink SQL, in a local MiniCluster, without checkpoints. Lines are parsed by hand into rows of Flink's inner
 * form; what is found goes into a `blackhole`.
 *
 * Arguments: input=DIR sql=FILE threads=N scratch=DIR runs=N verify=FILE. The last of several runs in one JVM is the one that
 * counts. With `verify` what is left in the end is written to a file, a list of columns a line.
 */
public final class NexmarkJob {
    private static final AtomicLong began = new AtomicLong();
    private static volatile double cpuBefore;

    private NexmarkJob() {}

    /** The first line is parsed. */
    static void begin() {
        if (began.compareAndSet(0, System.nanoTime())) cpuBefore = cpuSeconds();
    }

    public static void main(String[] args) throws Exception {
        Locale.setDefault(Locale.ROOT);
        Map<String, String> options = new HashMap<>();
        for (String arg : args) {
            String[] pair = arg.split("=", 2);
            options.put(pair[0], pair[1]);
        }
        String sql = Files.readString(Path.of(options.get("sql")));
        if (options.containsKey("verify")) {
            verify(tables(options).sqlQuery(sql), Path.of(options.get("verify")));
            return;
        }
        double seconds = 0, cpuSeconds = 0;
        for (int run = 0; run < Integer.parseInt(options.getOrDefault("runs", "1")); run++) {
            began.set(0);
            Table found = tables(options).sqlQuery(sql);
            found.executeInsert(TableDescriptor.forConnector("blackhole").build()).await();
            seconds = (System.nanoTime() - began.get()) / 1e9;
            cpuSeconds = cpuSeconds() - cpuBefore;
        }
        System.out.printf("{\"job_s\":%.4f,\"job_cpu_s\":%.3f,\"version\":\"%s\"}%n",
            seconds, cpuSeconds, EnvironmentInformation.getVersion());
    }

    /** The tables of the events, over the files. */
    private static StreamTableEnvironment tables(Map<String, String> options) {
        int threads = Integer.parseInt(options.getOrDefault("threads", "1"));
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("state.backend.type", "hashmap");
        settings.setString("taskmanager.numberOfTaskSlots", String.valueOf(threads));
        settings.setString("taskmanager.memory.network.min", "128m");
        settings.setString("taskmanager.memory.network.max", "128m");
        settings.setString("io.tmp.dirs", options.getOrDefault("scratch", "."));
        // As the published runs have it.
        settings.setString("table.exec.mini-batch.enabled", "true");
        settings.setString("table.exec.mini-batch.allow-latency", "2s");
        settings.setString("table.exec.mini-batch.size", "50000");
        settings.setString("table.optimizer.distinct-agg.split.enabled", "true");
        settings.setString("table.local-time-zone", "UTC");
        StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(threads, settings);
        StreamTableEnvironment tables = StreamTableEnvironment.create(env);
        for (Lines.Kind kind : Lines.Kind.values()) {
            var path = new org.apache.flink.core.fs.Path(options.get("input"), kind.table() + ".ndjson");
            FileSource<String> source = FileSource.forRecordStreamFormat(new TextLineInputFormat(), path).build();
            DataStream<String> lines = env.fromSource(source, WatermarkStrategy.noWatermarks(), kind.table());
            // One of the readers has the file; all may parse.
            DataStream<RowData> rows = (threads > 1 ? lines.rebalance() : lines).map(new Lines(kind)).returns(kind.type());
            Schema schema = Schema.newBuilder().watermark("date_time", "date_time - INTERVAL '4' SECOND").build();
            tables.createTemporaryView(kind.table(), rows, schema);
        }
        return tables;
    }

    private static double cpuSeconds() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    private static void verify(Table found, Path path) throws Exception {
        Map<String, Integer> rows = new HashMap<>();
        try (CloseableIterator<Row> changes = found.execute().collect()) {
            while (changes.hasNext()) {
                Row row = changes.next();
                boolean comes = row.getKind() == RowKind.INSERT || row.getKind() == RowKind.UPDATE_AFTER;
                rows.merge(text(row), comes ? 1 : -1, (a, b) -> a + b == 0 ? null : Integer.valueOf(a + b));
            }
        }
        try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(path))) {
            rows.forEach((row, times) -> {
                for (int time = 0; time < times; time++) out.println(row);
            });
        }
    }

    /** The columns as JSON; times in milliseconds, decimals as texts. */
    private static String text(Row row) {
        StringBuilder out = new StringBuilder("[");
        for (int at = 0; at < row.getArity(); at++) {
            Object value = row.getField(at);
            if (at > 0) out.append(',');
            if (value instanceof LocalDateTime time) {
                out.append(time.toInstant(ZoneOffset.UTC).toEpochMilli());
            } else if (value instanceof Long || value == null) {
                out.append(value);
            } else if (value instanceof BigDecimal number) {
                out.append('"').append(number.toPlainString()).append('"');
            } else {
                // No text of an event has anything that JSON would escape.
                out.append('"').append(value).append('"');
            }
        }
        return out.append(']').toString();
    }
}

package fusion;

import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;

/** What the sink counts. Static: the whole cluster is in this JVM. */
public final class Tally {
    private static final AtomicLong began = new AtomicLong();
    private static final AtomicLong ended = new AtomicLong();
    private static final AtomicLong documents = new AtomicLong();
    private static final AtomicLong deletions = new AtomicLong();
    private static final AtomicLong children = new AtomicLong();
    private static final AtomicLong bytes = new AtomicLong();
    private static volatile double cpuBefore;
    private static volatile double cpuAfter;
    private static volatile boolean render;
    private static volatile boolean keep;
    /** To verify: the view that a store would hold. */
    private static volatile Map<String, Seen> view;

    private record Seen(long crc, long length, int children, byte[] document) {}

    private Tally() {}

    /** Forgets an earlier run. `verify` keeps the view, `keepDocuments` the text of its documents, too. */
    public static void reset(boolean renderDocuments, boolean verify, boolean keepDocuments) {
        for (AtomicLong n : new AtomicLong[] {began, ended, documents, deletions, children, bytes}) n.set(0);
        render = renderDocuments || verify;
        keep = keepDocuments;
        view = verify ? new ConcurrentHashMap<>() : null;
    }

    /** The first line is parsed. */
    public static void begin() {
        if (began.get() == 0 && began.compareAndSet(0, System.nanoTime())) cpuBefore = cpuSeconds();
    }

    /** When the first line was parsed, by System.nanoTime. */
    public static long began() { return began.get(); }

    private static double cpuSeconds() {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return system.getProcessCpuTime() / 1e9;
    }

    /** One per sink subtask. */
    public static final class Counter {
        private final ByteArrayBuilder out = new ByteArrayBuilder(65536);
        private long documents, deletions, children, bytes;

        public void add(Document document) throws IOException {
            if (document.deleted) {
                deletions++;
            } else {
                documents++;
                children += document.children.size();
            }
            if (!render) return;
            out.reset();
            Json.write(document, out);
            byte[] text = out.toByteArray();
            bytes += text.length;
            if (view == null) return;
            String key = document.asset + ":" + document.bucket;
            if (document.deleted) {
                view.remove(key);
            } else {
                CRC32 crc = new CRC32();
                crc.update(text, 0, text.length);
                view.put(key, new Seen(crc.getValue(), text.length, document.children.size(), keep ? text : null));
            }
        }

        public void close() {
            Tally.documents.addAndGet(documents);
            Tally.deletions.addAndGet(deletions);
            Tally.children.addAndGet(children);
            Tally.bytes.addAndGet(bytes);
            documents = deletions = children = bytes = 0;
            ended.accumulateAndGet(System.nanoTime(), Math::max);
            cpuAfter = cpuSeconds();
        }
    }

    /** Wall and CPU seconds of the run, from the first line parsed to the last document. */
    public static String times() {
        double wall = (ended.get() - began.get()) / 1e9;
        return String.format("\"job_s\":%.4f,\"job_cpu_s\":%.3f", wall, cpuAfter - cpuBefore);
    }

    /** What was put out; to verify: what a store would hold in the end. */
    public static String counts() {
        String emitted = String.format("\"emitted\":%d,\"retracted\":%d", documents.get(), deletions.get());
        if (view == null) {
            String size = render ? Long.toString(bytes.get()) : "null";
            return String.format("\"documents\":%d,\"children\":%d,\"bytes\":%s,\"check\":null,%s",
                documents.get(), children.get(), size, emitted);
        }
        long found = 0, size = 0, check = 0;
        for (Seen seen : view.values()) {
            found += seen.children;
            size += seen.length;
            check += seen.crc;
        }
        return String.format("\"documents\":%d,\"children\":%d,\"bytes\":%d,\"check\":\"%016x\",%s",
            view.size(), found, size, check, emitted);
    }

    /** Writes the documents of the view, a line each. */
    public static void writeDocuments(Path path) throws IOException {
        try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(path))) {
            for (Seen seen : view.values()) {
                out.write(seen.document);
                out.write('\n');
            }
        }
    }
}

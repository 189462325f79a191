package fusion;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.apache.flink.api.common.operators.ProcessingTimeService;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;

/**
 * Writes documents to Elasticsearch in bulk requests, at least once: all of them are answered before a checkpoint is complete.
 *
 * With `inFlight` above 1 two requests may hold the same document, and the older one may come last: nothing tells the server.
 */
final class BulkSink implements Sink<Upsert> {
    private static final int BULK_CHARS = 4 << 20;
    private static final long FLUSH_MS = 250;
    private final String url;
    private final int inFlight;

    BulkSink(String url, int inFlight) {
        this.url = url + "/_bulk?filter_path=errors,items.*.error";
        this.inFlight = inFlight;
    }

    @Override public SinkWriter<Upsert> createWriter(WriterInitContext context) {
        return new Writer(context.getProcessingTimeService());
    }

    private final class Writer implements SinkWriter<Upsert> {
        private final HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(10)).build();
        private final Queue<CompletableFuture<HttpResponse<String>>> sent = new ArrayDeque<>();
        private final ProcessingTimeService time;
        private StringBuilder body = new StringBuilder();

        Writer(ProcessingTimeService time) {
            this.time = time;
            again();
        }

        private void again() {
            time.registerTimer(time.getCurrentProcessingTime() + FLUSH_MS, at -> {
                send();
                again();
            });
        }

        @Override public void write(Upsert upsert, Context context) throws IOException, InterruptedException {
            String id = upsert.id().replace("\"", "\\\"");
            if (upsert.json == null) {
                body.append("{\"delete\":{\"_id\":\"").append(id).append("\"}}\n");
            } else {
                body.append("{\"index\":{\"_id\":\"").append(id).append("\"}}\n").append(upsert.json).append('\n');
            }
            if (body.length() >= BULK_CHARS) send();
        }

        private void send() throws IOException, InterruptedException {
            if (body.length() == 0) return;
            while (sent.size() >= inFlight) await();
            HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(60))
                .header("content-type", "application/x-ndjson")
                .POST(HttpRequest.BodyPublishers.ofString(body.toString(), StandardCharsets.UTF_8)).build();
            body = new StringBuilder();
            sent.add(http.sendAsync(request, HttpResponse.BodyHandlers.ofString()));
        }

        /** Waits for the oldest request. What fails restarts the job from its last checkpoint. */
        private void await() throws IOException, InterruptedException {
            try {
                HttpResponse<String> answer = sent.remove().get();
                if (answer.statusCode() != 200 || !answer.body().contains("\"errors\":false")) {
                    throw new IOException("not all documents were taken: " + answer.body());
                }
            } catch (ExecutionException failed) {
                throw new IOException("a request failed", failed.getCause());
            }
        }

        @Override public void flush(boolean endOfInput) throws IOException, InterruptedException {
            send();
            while (!sent.isEmpty()) await();
        }

        @Override public void close() {}
    }
}

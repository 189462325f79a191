package fusion;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.config.DefaultDriverOption;
import com.datastax.oss.driver.api.core.config.DriverConfigLoader;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.Collections;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.api.functions.async.RichAsyncFunction;

/**
 * Writes each document to Cassandra, and passes it on once it is there. The driver gives statements timestamps that only grow, so
 * that of two writes of a row the later one stays.
 */
final class CassandraUpsert extends RichAsyncFunction<Upsert, Upsert> {
    private static final long HOUR_NS = 3_600_000_000_000L;
    private final String node;
    private final String keyspace;
    private transient CqlSession session;
    private transient PreparedStatement insert;
    private transient PreparedStatement delete;

    CassandraUpsert(String node, String keyspace) {
        this.node = node;
        this.keyspace = keyspace;
    }

    @Override public void open(OpenContext context) {
        String[] place = node.split(":");
        session = CqlSession.builder()
            .addContactPoint(new InetSocketAddress(place[0], Integer.parseInt(place[1])))
            .withLocalDatacenter("datacenter1")
            .withConfigLoader(DriverConfigLoader.programmaticBuilder()
                .withDuration(DefaultDriverOption.REQUEST_TIMEOUT, Duration.ofSeconds(10))
                .withString(DefaultDriverOption.REQUEST_CONSISTENCY, "LOCAL_QUORUM").build())
            .build();
        String table = keyspace + ".moments";
        insert = session.prepare("INSERT INTO " + table + " (asset, hour, start_ns, document) VALUES (?, ?, ?, ?)");
        delete = session.prepare("DELETE FROM " + table + " WHERE asset = ? AND hour = ? AND start_ns = ?");
    }

    @Override public void asyncInvoke(Upsert upsert, ResultFuture<Upsert> result) {
        long hour = Math.floorDiv(upsert.startNs, HOUR_NS);
        var statement = upsert.json == null
            ? delete.bind(upsert.asset, hour, upsert.startNs)
            : insert.bind(upsert.asset, hour, upsert.startNs, upsert.json);
        session.executeAsync(statement.setIdempotent(true)).whenComplete((done, error) -> {
            if (error == null) result.complete(Collections.singleton(upsert));
            else result.completeExceptionally(error);
        });
    }

    @Override public void close() {
        if (session != null) session.close();
    }
}

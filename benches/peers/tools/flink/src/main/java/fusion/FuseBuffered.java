package fusion;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * An asset's annotations by id, and the buckets that were touched; their documents are formed when a timer fires:
 * every `flushMs`, or at the end of the input if that is 0.
 */
final class FuseBuffered extends KeyedProcessFunction<String, Annotation, Document> {
    private static final byte DIRTY = 1, LIVE = 2;
    private final long flushMs;
    private transient MapState<String, Annotation> annotations;
    private transient MapState<Long, Byte> marks;
    private transient ValueState<Long> timer;

    FuseBuffered(long flushMs) { this.flushMs = flushMs; }

    @Override public void open(OpenContext context) {
        var runtime = getRuntimeContext();
        annotations = runtime.getMapState(new MapStateDescriptor<>("annotations", Types.STRING, FusionJob.ANNOTATION));
        marks = runtime.getMapState(new MapStateDescriptor<>("marks", Types.LONG, Types.BYTE));
        timer = runtime.getState(new ValueStateDescriptor<>("timer", Types.LONG));
    }

    @Override public void processElement(Annotation change, Context context, Collector<Document> out) throws Exception {
        if (change.op == Annotation.REMOVE) annotations.remove(change.id);
        else annotations.put(change.id, change);
        for (long bucket = change.firstBucket(), last = change.lastBucket(); bucket <= last; bucket++) {
            Byte mark = marks.get(bucket);
            if (mark == null) marks.put(bucket, DIRTY);
            else if ((mark & DIRTY) == 0) marks.put(bucket, (byte) (mark | DIRTY));
        }
        if (timer.value() != null) return;
        var timers = context.timerService();
        long at = flushMs > 0 ? timers.currentProcessingTime() / flushMs * flushMs + flushMs : Long.MAX_VALUE;
        timer.update(at);
        if (flushMs > 0) timers.registerProcessingTimeTimer(at);
        // At the end of the input, when timers of processing time do not fire any more.
        timers.registerEventTimeTimer(Long.MAX_VALUE);
    }

    @Override public void onTimer(long time, OnTimerContext context, Collector<Document> out) throws Exception {
        if (timer.value() == null) return;
        timer.clear();
        TreeMap<Long, List<Annotation>> dirty = new TreeMap<>();
        for (Map.Entry<Long, Byte> mark : marks.entries()) {
            if ((mark.getValue() & DIRTY) != 0) dirty.put(mark.getKey(), new ArrayList<>());
        }
        List<Annotation> all = new ArrayList<>();
        for (Annotation annotation : annotations.values()) all.add(annotation);
        all.sort(Annotation.ORDER);
        for (Annotation annotation : all) {
            var covered = dirty.subMap(annotation.firstBucket(), true, annotation.lastBucket(), true);
            for (List<Annotation> children : covered.values()) children.add(annotation);
        }
        for (Map.Entry<Long, List<Annotation>> entry : dirty.entrySet()) {
            emit(context.getCurrentKey(), entry.getKey(), entry.getValue(), out);
        }
    }

    private void emit(String asset, long bucket, List<Annotation> children, Collector<Document> out) throws Exception {
        boolean live = (marks.get(bucket) & LIVE) != 0;
        if (Document.qualifies(children)) {
            out.collect(new Document(asset, bucket, children));
            marks.put(bucket, LIVE);
        } else {
            if (live) out.collect(new Document(asset, bucket, null));
            marks.remove(bucket);
        }
    }
}

package fusion;

import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.MapState;
import org.apache.flink.api.common.state.MapStateDescriptor;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** An asset's buckets with their children in order; each change emits the documents of all buckets that it covers. */
final class FuseEach extends KeyedProcessFunction<String, Annotation, Document> {
    private transient MapState<Long, List<Annotation>> buckets;

    @Override public void open(OpenContext context) {
        var list = Types.LIST(FusionJob.ANNOTATION);
        buckets = getRuntimeContext().getMapState(new MapStateDescriptor<>("buckets", Types.LONG, list));
    }

    @Override public void processElement(Annotation change, Context context, Collector<Document> out) throws Exception {
        for (long bucket = change.firstBucket(), last = change.lastBucket(); bucket <= last; bucket++) {
            List<Annotation> children = buckets.get(bucket);
            boolean was = children != null && Document.qualifies(children);
            children = Document.apply(children, change);
            if (children.isEmpty()) buckets.remove(bucket);
            else buckets.put(bucket, children);
            if (Document.qualifies(children)) out.collect(new Document(change.asset, bucket, children));
            else if (was) out.collect(new Document(change.asset, bucket, null));
        }
    }
}

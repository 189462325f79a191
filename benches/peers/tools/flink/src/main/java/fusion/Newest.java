package fusion;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/** The newest version of an id: a deletion carries no asset, and a correction may move to another one. */
final class Newest extends KeyedProcessFunction<String, Annotation, Annotation> {
    private transient ValueState<Annotation> state;

    @Override public void open(OpenContext context) {
        state = getRuntimeContext().getState(new ValueStateDescriptor<>("annotation", FusionJob.ANNOTATION));
    }

    @Override public void processElement(Annotation change, Context context, Collector<Annotation> out) throws Exception {
        Annotation before = state.value();
        if (before != null) out.collect(before.removed());
        if (change.op == Annotation.DELETE) {
            if (before != null) state.clear();
            return;
        }
        state.update(change);
        out.collect(change);
    }

    /** In batch mode: only the last version leaves, so that the next operator sees no removals. */
    static final class AtEnd extends KeyedProcessFunction<String, Annotation, Annotation> {
        private transient ValueState<Annotation> state;

        @Override public void open(OpenContext context) {
            state = getRuntimeContext().getState(new ValueStateDescriptor<>("annotation", FusionJob.ANNOTATION));
        }

        @Override public void processElement(Annotation change, Context context, Collector<Annotation> out) throws Exception {
            state.update(change);
            context.timerService().registerEventTimeTimer(Long.MAX_VALUE);
        }

        @Override public void onTimer(long time, OnTimerContext context, Collector<Annotation> out) throws Exception {
            if (state.value().op == Annotation.PUT) out.collect(state.value());
        }
    }
}

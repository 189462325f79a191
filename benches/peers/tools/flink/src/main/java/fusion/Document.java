package fusion;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** One fused document, or the deletion of one. */
public class Document {
    public static final long WIDTH_NS = 1_000_000_000L;

    public String asset;
    public long bucket;
    public boolean deleted;
    /** In order; only valid until the collector returns: the sink is chained, and objects are re-used. */
    public List<Annotation> children;

    public Document() {}

    public Document(String asset, long bucket, List<Annotation> children) {
        this.asset = asset;
        this.bucket = bucket;
        this.children = children;
        this.deleted = children == null;
    }

    /** Children are ordered by type first: there are two types if first and last differ. */
    public static boolean qualifies(List<Annotation> children) {
        return children.size() > 1 && !children.get(0).type.equals(children.get(children.size() - 1).type);
    }

    /** Applies a change to an ordered list, which may be null. */
    public static List<Annotation> apply(List<Annotation> children, Annotation change) {
        if (children == null) children = new ArrayList<>(4);
        int at = Collections.binarySearch(children, change, Annotation.ORDER);
        if (change.op == Annotation.REMOVE) {
            if (at >= 0) children.remove(at);
        } else if (at >= 0) {
            children.set(at, change);
        } else {
            children.add(-at - 1, change);
        }
        return children;
    }
}

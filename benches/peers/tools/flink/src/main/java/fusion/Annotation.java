package fusion;

import java.util.Comparator;

/** One annotation, or what happens to one (a Flink POJO). */
public class Annotation {
    public static final byte PUT = 1;
    /** Of a version that is known. */
    public static final byte REMOVE = -1;
    /** By id alone: the asset is not known. */
    public static final byte DELETE = 0;

    public byte op = PUT;
    public String id;
    public String type;
    public String label;
    public String movie;
    public String asset;
    public double score;
    public long start;
    public long end;

    /** The order of children. */
    public static final Comparator<Annotation> ORDER = (a, b) -> {
        int order = a.type.compareTo(b.type);
        if (order == 0) order = Long.compare(a.start, b.start);
        if (order == 0) order = Long.compare(a.end, b.end);
        return order != 0 ? order : a.id.compareTo(b.id);
    };

    public Annotation removed() {
        Annotation r = new Annotation();
        r.op = REMOVE;
        r.id = id;
        r.type = type;
        r.label = label;
        r.movie = movie;
        r.asset = asset;
        r.score = score;
        r.start = start;
        r.end = end;
        return r;
    }

    public long firstBucket() { return Math.floorDiv(start, Document.WIDTH_NS); }

    public long lastBucket() { return Math.floorDiv(end - 1, Document.WIDTH_NS); }
}

package fusion;

/** A rendered document, or the deletion of one (a Flink POJO). */
public class Upsert {
    public String asset;
    public long startNs;
    /** Null: it is deleted. */
    public String json;

    /** As a JSON array: the document's id. */
    public String id() { return "[\"" + asset + "\"," + startNs + "]"; }
}

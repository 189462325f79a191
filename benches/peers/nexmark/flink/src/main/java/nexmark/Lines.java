package nexmark;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.runtime.typeutils.InternalTypeInfo;
import org.apache.flink.table.types.logical.BigIntType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.table.types.logical.VarCharType;

/** Lines of one kind of events as rows of the form that Flink's own operators have. */
final class Lines extends RichMapFunction<String, RowData> {
    /** What the files have, and what the published tables are called. */
    enum Kind {
        PERSON("id", "name$", "email_address$", "credit_card$", "city$", "state$", "date_time@", "extra$"),
        AUCTION("id", "item_name$", "description$", "initial_bid", "reserve", "date_time@", "expires@", "seller",
            "category", "extra$"),
        BID("id", "auction", "bidder", "price", "channel$", "url$", "date_time@", "extra$");

        /** Each with `$` for a text, and `@` for a time; others are integers. */
        private final String[] fields;

        Kind(String... fields) {
            this.fields = fields;
        }

        String table() {
            return name().toLowerCase(java.util.Locale.ROOT);
        }

        InternalTypeInfo<RowData> type() {
            LogicalType[] types = new LogicalType[fields.length];
            String[] names = new String[fields.length];
            for (int at = 0; at < fields.length; at++) {
                String name = fields[at];
                types[at] = switch (name.charAt(name.length() - 1)) {
                    case '$' -> VarCharType.STRING_TYPE;
                    case '@' -> new TimestampType(3);
                    default -> new BigIntType();
                };
                names[at] = plain(name);
            }
            return InternalTypeInfo.of(RowType.of(types, names));
        }
    }

    private final Kind kind;
    private transient JsonFactory json;
    private transient Map<String, Integer> places;

    Lines(Kind kind) {
        this.kind = kind;
    }

    private static String plain(String field) {
        return field.endsWith("$") || field.endsWith("@") ? field.substring(0, field.length() - 1) : field;
    }

    @Override public RowData map(String line) throws IOException {
        if (json == null) {
            json = new JsonFactory();
            places = new HashMap<>();
            for (int at = 0; at < kind.fields.length; at++) places.put(plain(kind.fields[at]), at);
            NexmarkJob.begin();
        }
        GenericRowData row = new GenericRowData(kind.fields.length);
        try (JsonParser parser = json.createParser(line)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                Integer at = places.get(parser.currentName());
                parser.nextToken();
                if (at == null) {
                    parser.skipChildren();
                    continue;
                }
                String field = kind.fields[at];
                switch (field.charAt(field.length() - 1)) {
                    case '$' -> row.setField(at, StringData.fromString(parser.getText()));
                    case '@' -> row.setField(at, TimestampData.fromEpochMillis(parser.getLongValue()));
                    default -> row.setField(at, parser.getLongValue());
                }
            }
        }
        return row;
    }
}

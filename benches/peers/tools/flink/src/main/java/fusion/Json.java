package fusion;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.io.SerializedString;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;

/** Jackson's streaming API, both ways. */
public final class Json {
    private static final JsonFactory FACTORY = new JsonFactory();
    private static final SerializedString CONTEXT = new SerializedString("associated_ids");
    private static final SerializedString MOVIE = new SerializedString("MOVIE_ID");
    private static final SerializedString ASSET = new SerializedString("ASSET_ID");
    private static final SerializedString BUCKET_START = new SerializedString("time_bucket_start_ns");
    private static final SerializedString BUCKET_END = new SerializedString("time_bucket_end_ns");
    private static final SerializedString CHILDREN = new SerializedString("source_annotations");
    private static final SerializedString ID = new SerializedString("annotation_id");
    private static final SerializedString TYPE = new SerializedString("annotation_type");
    private static final SerializedString LABEL = new SerializedString("label");
    private static final SerializedString SCORE = new SerializedString("confidence_score");
    private static final SerializedString RANGE = new SerializedString("time_range");
    private static final SerializedString START = new SerializedString("start_time_ns");
    private static final SerializedString END = new SerializedString("end_time_ns");
    private static final SerializedString DELETED = new SerializedString("deleted");

    private Json() {}

    public static Annotation parse(String line) throws IOException {
        Annotation annotation = new Annotation();
        try (JsonParser parser = FACTORY.createParser(line)) {
            parser.nextToken();
            object(parser, annotation);
        }
        return annotation;
    }

    private static void object(JsonParser parser, Annotation into) throws IOException {
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            JsonToken token = parser.nextToken();
            switch (name) {
                case "annotation_id": into.id = parser.getText(); break;
                case "type": into.type = parser.getText(); break;
                case "label": into.label = parser.getText(); break;
                case "MOVIE_ID": into.movie = parser.getText(); break;
                case "ASSET_ID": into.asset = parser.getText(); break;
                case "confidence_score": into.score = parser.getDoubleValue(); break;
                case "start_time_ns": into.start = parser.getLongValue(); break;
                case "end_time_ns": into.end = parser.getLongValue(); break;
                case "deleted": if (parser.getBooleanValue()) into.op = Annotation.DELETE; break;
                case "associated_ids": case "time_range": object(parser, into); break;
                default: if (token.isStructStart()) parser.skipChildren();
            }
        }
    }

    public static void write(Document document, ByteArrayBuilder out) throws IOException {
        try (JsonGenerator json = FACTORY.createGenerator(out)) {
            json.writeStartObject();
            json.writeFieldName(CONTEXT);
            json.writeStartObject();
            if (!document.deleted) {
                json.writeFieldName(MOVIE);
                json.writeString(document.children.get(0).movie);
            }
            json.writeFieldName(ASSET);
            json.writeString(document.asset);
            json.writeEndObject();
            json.writeFieldName(BUCKET_START);
            json.writeNumber(document.bucket * Document.WIDTH_NS);
            if (document.deleted) {
                json.writeFieldName(DELETED);
                json.writeBoolean(true);
            } else {
                json.writeFieldName(BUCKET_END);
                json.writeNumber((document.bucket + 1) * Document.WIDTH_NS);
                json.writeFieldName(CHILDREN);
                json.writeStartArray();
                for (Annotation child : document.children) write(child, json);
                json.writeEndArray();
            }
            json.writeEndObject();
        }
    }

    private static void write(Annotation child, JsonGenerator json) throws IOException {
        json.writeStartObject();
        json.writeFieldName(ID);
        json.writeString(child.id);
        json.writeFieldName(TYPE);
        json.writeString(child.type);
        json.writeFieldName(LABEL);
        json.writeString(child.label);
        json.writeFieldName(SCORE);
        json.writeNumber(child.score);
        json.writeFieldName(RANGE);
        json.writeStartObject();
        json.writeFieldName(START);
        json.writeNumber(child.start);
        json.writeFieldName(END);
        json.writeNumber(child.end);
        json.writeEndObject();
        json.writeEndObject();
    }
}

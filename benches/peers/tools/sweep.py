"""Fusion in plain Python, for the peers whose operators are Python functions."""

import orjson

from common import BUCKET_NS


def buckets(start_ns, end_ns):
    """The buckets that a range overlaps."""
    return range(start_ns // BUCKET_NS, (end_ns - 1) // BUCKET_NS + 1)


def order(annotation):
    """The order of children."""
    covers = annotation["time_range"]
    return annotation["type"], covers["start_time_ns"], covers["end_time_ns"], annotation["annotation_id"]


def child_of(annotation):
    """An annotation as documents show it."""
    return {
        "annotation_id": annotation["annotation_id"],
        "annotation_type": annotation["type"],
        "label": annotation["label"],
        "confidence_score": annotation["confidence_score"],
        "time_range": annotation["time_range"],
    }


def document_of(context, bucket, children):
    """A document put together from rendered pieces."""
    start, end = bucket * BUCKET_NS, (bucket + 1) * BUCKET_NS
    return (
        f'{{"associated_ids":{context},"time_bucket_start_ns":{start},"time_bucket_end_ns":{end},'
        f'"source_annotations":[{",".join(children)}]}}'
    )


def lists_of(entries):
    """(bucket, children) for each bucket that entries `(type, start, end, child)` of one asset and of two types overlap.

    The entries must be in the order of children.
    """
    found = {}
    for entry in entries:
        for bucket in buckets(entry[1], entry[2]):
            if (there := found.get(bucket)) is None:
                found[bucket] = [entry]
            else:
                there.append(entry)
    for bucket, there in found.items():
        if there[0][0] != there[-1][0]:
            yield bucket, [entry[3] for entry in there]


def documents_of(context, entries):
    """(children, document) for each of them, from rendered children."""
    for bucket, children in lists_of(entries):
        yield len(children), document_of(context, bucket, children)


def document_of_annotations(annotations, bucket):
    """(children, document) of all annotations of a bucket, rendered whole; `None` unless there are two types."""
    annotations.sort(key=order)
    if annotations[0]["type"] == annotations[-1]["type"]:
        return None
    found = {
        "associated_ids": annotations[0]["associated_ids"],
        "time_bucket_start_ns": bucket * BUCKET_NS,
        "time_bucket_end_ns": (bucket + 1) * BUCKET_NS,
        "source_annotations": [child_of(annotation) for annotation in annotations],
    }
    return len(annotations), orjson.dumps(found).decode()

"""What is right, by brute force: looks at every bucket of every annotation.

    truth.py DIRECTORY [DOCUMENTS]

Prints documents, children, bytes, and the sum of the CRC-32 of all documents; writes the documents, a line each.
"""

import json
import pathlib
import sys
import zlib

BUCKET_NS = 10**9


def newest(directory):
    """The last annotation of each id that is not deleted."""
    annotations = {}
    for path in sorted(pathlib.Path(directory).glob("*.ndjson")):
        with open(path) as lines:
            for line in lines:
                annotation = json.loads(line)
                if annotation.get("deleted"):
                    annotations.pop(annotation["annotation_id"], None)
                else:
                    annotations[annotation["annotation_id"]] = annotation
    return annotations.values()


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def documents(annotations):
    """(children, document) of each bucket of each asset that annotations of two types overlap."""
    moments = {}
    order = lambda a: (a["type"], a["time_range"]["start_time_ns"], a["time_range"]["end_time_ns"], a["annotation_id"])
    for a in sorted(annotations, key=order):
        names = {"annotation_id": "annotation_id", "type": "annotation_type", "label": "label"}
        names |= {"confidence_score": "confidence_score", "time_range": "time_range"}
        child = a["type"], text({shown: a[name] for name, shown in names.items()})
        context, covers = a["associated_ids"], a["time_range"]
        for bucket in range(covers["start_time_ns"] // BUCKET_NS, (covers["end_time_ns"] - 1) // BUCKET_NS + 1):
            moments.setdefault((context["ASSET_ID"], bucket), (context, []))[1].append(child)
    for (_, bucket), (context, children) in moments.items():
        if len({kind for kind, _ in children}) < 2:
            continue
        borders = {"time_bucket_start_ns": bucket * BUCKET_NS, "time_bucket_end_ns": (bucket + 1) * BUCKET_NS}
        head = text({"associated_ids": context} | borders)[:-1]
        yield len(children), f'{head},"source_annotations":[{",".join(child for _, child in children)}]}}'


def main(directory, path=None):
    out = open(path, "wb") if path else None
    found = {"documents": 0, "children": 0, "bytes": 0}
    check = 0
    for children, document in documents(newest(directory)):
        data = document.encode()
        found["documents"] += 1
        found["children"] += children
        found["bytes"] += len(data)
        check += zlib.crc32(data)
        if out:
            out.write(data + b"\n")
    print(json.dumps(found | {"check": f"{check % 2**64:016x}"}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Flowstone as one of the tools: its pipelines, what is put in place before a run, and the documents that it wrote.

    flowstone.py DIRECTORY [DOCUMENTS]

Prints what the files of a file sink hold in the end: documents, children, bytes, the sum of the CRC-32 of all documents;
writes the documents, a line each.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import zlib

# The workload between any source and any sinks.
MOMENTS = """\
    key: /annotation_id
    delete: /deleted
operators:
  moments:
    fuse:
      from: annotations
      by: /associated_ids/ASSET_ID
      type: /type
      range: {{ start: /time_range/start_time_ns, end: /time_range/end_time_ns }}
      bucket: 1s
      min_modalities: 2
      fields: [/label, /confidence_score]
"""
PIPELINE = """\
name: fusion
state: {state}
epoch: {epoch}
sources:
  annotations:
    file: {{ paths: ["input/*/*.ndjson"] }}
""" + MOMENTS + """\
sinks:
  found: {{ from: moments, {sink} }}
"""
# The only annotation of its asset, so that it is in no document. A state that has it has been run before, and a run that
# goes on from there puts out documents as they change, instead of once.
FIRST = {
    "annotation_id": "first", "type": "FIRST", "label": "first", "confidence_score": 0.5,
    "associated_ids": {"MOVIE_ID": "first", "ASSET_ID": "first"},
    "time_range": {"start_time_ns": 0, "end_time_ns": 1},
}


def prepare(binary, place, variant, annotations, threads, verify):
    """Puts everything in place and gives the command: not a part of what is timed."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "input" / "first").mkdir(parents=True)
    (place / "input" / "first" / "first.ndjson").write_text(json.dumps(FIRST) + "\n")
    sink = "file: { path: documents }" if verify else f"discard: {{ render: {str(variant.form == 'rendered').lower()} }}"
    state = "./state" if variant.name in ["journal", "every-second"] else "none"
    (place / "pipeline.yaml").write_text(PIPELINE.format(state=state, epoch="1s", sink=sink))
    command = [str(binary), "backfill", "pipeline.yaml", "--json", "--workers", str(threads)]
    if variant.name == "every-second":
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        command[1] = "run"
    (place / "input" / "annotations").symlink_to(annotations.resolve())
    return command


def found(summary):
    """The counts in what it prints at its end."""
    summary = json.loads(summary)
    sink = summary["sinks"]["found"]
    if summary["outcome"] != "complete" or summary["dead_letters"]["count"] > 0:
        raise ValueError(f"it did not take everything: {summary}")
    return {"documents": sink["upserts"], "children": None, "bytes": sink["bytes"] or None, "retracted": sink["deletes"]}


def written(directory):
    """Key and document of all changes in order; None for a deletion."""
    for path in sorted(pathlib.Path(directory).glob("*.ndjson")):
        with open(path, "rb") as lines:
            for line in lines:
                head, separator, rest = line.partition(b',"document":')
                change = json.loads(head + b"}" if separator else line)
                yield tuple(change["key"]), rest.rstrip(b"\n")[:-1] if separator else None


def main(directory, path=None):
    view = {}
    for key, document in written(directory):
        if document is None:
            view.pop(key, None)
        else:
            children = document.count(b'{"annotation_id":')
            view[key] = children, len(document), zlib.crc32(document), document if path else None
    if path:
        with open(path, "wb") as out:
            out.writelines(document + b"\n" for _, _, _, document in view.values())
    children, size, check = (sum(entry[at] for entry in view.values()) for at in range(3))
    counts = {"documents": len(view), "children": children, "bytes": size}
    print(json.dumps(counts | {"check": f"{check % 2**64:016x}"}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What is compared: each tool in the forms in which its users would write the workload."""

from dataclasses import dataclass, replace
from fnmatch import fnmatch

RENDERED = "rendered"
LISTS = "lists"


@dataclass(frozen=True)
class Variant:
    """One way to write the workload with one tool."""

    tool: str
    name: str
    # Whole documents, or child lists that are not rendered.
    form: str
    threads: tuple = (1, 2)
    # Each document is put out once: what a run counts must be the truth. Else only the view in the end must be.
    final: bool = True
    # Right under corrections and deletions, too.
    corrections: bool = False
    # What it is held against: our run with the journal, or that with epochs of a second.
    against: str = "default"
    # Only with --all.
    extra: bool = False
    # Numbers of threads with --brief: the fastest form of each tool, and what ours is asked to beat.
    brief: tuple = ()
    note: str = ""

    @property
    def label(self):
        return f"{self.tool} {self.name}"


VARIANTS = [
    Variant("flowstone", "documents", RENDERED, corrections=True, brief=(1, 2), note="`state: none`, as the peers run"),
    Variant("flowstone", "lists", LISTS, corrections=True, brief=(1, 2), note="`discard: { render: false }`"),
    Variant("flowstone", "journal", RENDERED, corrections=True, brief=(1, 2), note="with the journal on a local disk"),
    Variant(
        "flowstone", "every-second", RENDERED, final=False, corrections=True,
        brief=(1, 2), note="`run` with the journal, epochs of 1 s: documents as they change",
    ),
    Variant("duckdb", "plain", RENDERED, threads=(2,), brief=(2,), note="`list(… ORDER BY …)`, `to_json`"),
    Variant("duckdb", "ranked", RENDERED, brief=(1, 2), note="ordered once by a window, children rendered once"),
    Variant("duckdb", "lists", LISTS, brief=(1, 2), note="ordered once by a window"),
    Variant("polars", "structs", RENDERED, note="in-memory engine, `struct.json_encode`"),
    Variant("polars", "strings", RENDERED, brief=(1, 2), note="in-memory engine, children rendered once"),
    Variant("polars", "lists", LISTS, brief=(1, 2), note="in-memory engine"),
    Variant("polars", "structs-streaming", RENDERED, extra=True, note="streaming engine"),
    Variant("polars", "strings-streaming", RENDERED, extra=True, note="streaming engine"),
    Variant("polars", "lists-streaming", LISTS, extra=True, note="streaming engine"),
    Variant("bytewax", "bucket", RENDERED, threads=(1,), brief=(1,), note="keyed by asset and bucket, `fold_final`"),
    Variant("bytewax", "asset", RENDERED, threads=(1,), brief=(1,), note="keyed by asset, swept in Python at the end"),
    Variant("bytewax", "asset-lists", LISTS, threads=(1,), note="keyed by asset, swept in Python at the end"),
    Variant("pathway", "bucket", RENDERED, threads=(1,), note="`flatten`, grouped by asset and bucket"),
    Variant("pathway", "asset", RENDERED, brief=(1,), note="grouped by asset, swept in Python"),
    Variant("pathway", "bucket-lists", LISTS, threads=(1,), note="`flatten`, grouped by asset and bucket"),
    Variant("flink", "batch", RENDERED, corrections=True, brief=(1,), note="batch mode, documents at the end"),
    Variant("flink", "batch-inserts", RENDERED, threads=(1,), note="without the operator by annotation_id: inserts only"),
    Variant("flink", "batch-lists", LISTS, corrections=True, note="batch mode, documents at the end"),
    Variant("flink", "stream-end", RENDERED, corrections=True, brief=(1,), note="streaming mode, documents at the end"),
    Variant(
        "flink", "stream-1s", RENDERED, final=False, corrections=True, against="every-second",
        brief=(1,), note="streaming mode, documents as they change, every second",
    ),
    Variant(
        "flink", "stream-each", RENDERED, threads=(1,), final=False, corrections=True, against="every-second", extra=True,
        note="streaming mode, a document with each change",
    ),
]

TOOLS = list(dict.fromkeys(variant.tool for variant in VARIANTS))


def chosen(tools, patterns, with_extra, brief=False):
    """The variants of these tools whose names match one of the patterns."""
    found = [variant for variant in VARIANTS if variant.tool in tools]
    found = [variant for variant in found if any(fnmatch(variant.name, pattern) for pattern in patterns)]
    if brief:
        return [replace(variant, threads=variant.brief) for variant in found if variant.brief]
    return [variant for variant in found if with_extra or not variant.extra]


def by_name(tool, name):
    return next(variant for variant in VARIANTS if (variant.tool, variant.name) == (tool, name))

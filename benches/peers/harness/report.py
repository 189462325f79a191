"""Tables (Markdown) from the records of a results file."""

import statistics

from harness import catalogue
from harness.catalogue import LISTS, RENDERED

TITLES = {RENDERED: "Whole documents, rendered as JSON and counted", LISTS: "Child lists formed, not rendered"}


class Row:
    """A variant with a number of threads at a length: medians over its runs."""

    def __init__(self, variant, threads, length, runs, annotations):
        self.variant, self.threads, self.length, self.runs = variant, threads, length, runs
        median = lambda name: statistics.median(run[name] for run in runs)
        self.wall_s, self.cpu_s = median("job_s"), median("job_cpu_s")
        self.rss_mib, self.startup_s = median("rss_mib"), median("startup_s")
        firsts = [run["first"]["job_s"] for run in runs if "first" in run]
        self.first_s = statistics.median(firsts) if firsts else None
        self.rate = annotations / self.wall_s
        self.cpu_rate = annotations / max(self.cpu_s, 1e-9)


def rows(records):
    """One row for each variant, number of threads and length that was timed."""
    annotations = records[0]["workload"]["annotations"]
    groups = {}
    for record in records:
        if record["record"] == "run":
            key = record["tool"], record["variant"], record["threads"], record["length"]
            groups.setdefault(key, []).append(record)
    made = [
        Row(catalogue.by_name(tool, name), threads, length, runs, annotations)
        for (tool, name, threads, length), runs in groups.items()
    ]
    place = [variant.label for variant in catalogue.VARIANTS]
    return sorted(made, key=lambda row: (place.index(row.variant.label), row.threads))


def ours(rows, row, name=None):
    """Our row that another is held against: with as many threads, at the same length; None if there is none."""
    name = name or ("every-second" if row.variant.against == "every-second" else OURS[row.variant.form])
    same = [
        other for other in rows
        if (other.variant.tool, other.variant.name) == ("flowstone", name)
        and (other.threads, other.length) == (row.threads, row.length)
    ]
    return same[0] if same else None


OURS = {RENDERED: "documents", LISTS: "lists"}


def best(rows, tool, form, threads, length):
    """The fastest row of a tool whose documents come at the end, by CPU time for Flink and by the clock for others."""
    found = [
        row for row in rows
        if (row.variant.tool, row.variant.form, row.threads, row.length) == (tool, form, threads, length)
        and row.variant.against == "default" and row.variant.final
    ]
    speed = (lambda row: row.cpu_s) if tool == "flink" else (lambda row: row.wall_s)
    return min(found, key=speed, default=None)


def markdown(records):
    """The whole report."""
    header, made = records[0], rows(records)
    parts = [about(header)]
    for length in dict.fromkeys(row.length for row in made):
        parts.append(f"## Mean length {length}")
        for form in [RENDERED, LISTS]:
            these = [row for row in made if (row.length, row.variant.form) == (length, form)]
            if these:
                parts += [f"### {TITLES[form]}", table(made, these) + absent(records, length, form)]
        parts += ["### The fastest form of each tool beside ours", summary(made, length)]
    parts += [notes(records)]
    return "\n\n".join(part for part in parts if part) + "\n"


def about(header):
    machine, size, versions = header["machine"], header["workload"], header["versions"]
    return (
        f"{header['date']}; {machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']}.  \n"
        f"{size['annotations']:,} annotations, {size['assets']} assets, {size['types']} types, {size['span']}, buckets of 1 s, "
        f"{size['files']} files.  \n" + ", ".join(f"{name} {version}" for name, version in versions.items()) + f"; commit {header['commit']}."
    )


def table(made, these):
    head = [
        "tool", "form", "threads", "runs", "wall s", "CPU s", "annotations/s", "per CPU-s", "peak RSS MiB", "start-up s",
        "wall × ours", "CPU × ours", "RSS × ours",
    ]
    lines = [cells(head), cells(["---"] * 2 + ["--:"] * (len(head) - 2))]
    for row in these:
        us = ours(made, row)
        ratios = [times(row.wall_s, us and us.wall_s), times(row.cpu_s, us and us.cpu_s), times(row.rss_mib, us and us.rss_mib)]
        first = f" (first {seconds(row.first_s)})" if row.first_s else ""
        lines.append(cells([
            row.variant.tool, f"{row.variant.name}: {row.variant.note}", row.threads, len(row.runs), seconds(row.wall_s) + first,
            seconds(row.cpu_s), f"{row.rate:,.0f}", f"{row.cpu_rate:,.0f}", f"{row.rss_mib:,.0f}", f"{row.startup_s:.1f}", *ratios,
        ]))
    return "\n".join(lines)


def absent(records, length, form):
    """Rows of what can not be installed here, and of what failed: with the reason in place of figures."""
    rest = [""] * 8
    lines = []
    for record in records:
        if record["record"] == "unavailable":
            lines.append(cells([record["tool"], f"did not run here: {record['reason']}", "-", 0, "-", *rest]))
        elif (record["record"], record.get("length"), record.get("form")) == ("failed", length, form):
            why = f"{record['variant']}: failed: {record['reason'].replace('|', '/')}"
            lines.append(cells([record["tool"], why, record["threads"], 0, "-", *rest]))
    return "".join("\n" + line for line in lines)


def summary(made, length):
    """Of each tool the fastest form: how many times our time it takes, without and with our journal."""
    head = ["tool", "documents", "threads", "form", "wall × ours", "CPU × ours", "wall × ours with journal", "CPU × ours with journal"]
    lines = [cells(head), cells(["---"] * 2 + ["--:"] + ["---"] + ["--:"] * 4)]
    for tool in [tool for tool in catalogue.TOOLS if tool != "flowstone"]:
        for form in [RENDERED, LISTS]:
            for threads in sorted({row.threads for row in made}):
                row = best(made, tool, form, threads, length)
                if row is None:
                    continue
                us, journal = ours(made, row), ours(made, row, "journal") if form == RENDERED else None
                ratios = [times(getattr(row, of), side and getattr(side, of)) for side in [us, journal] for of in ["wall_s", "cpu_s"]]
                lines.append(cells([tool, form, threads, row.variant.name, *ratios]))
    return "\n".join(lines) if len(lines) > 2 else ""


def notes(records):
    """What the columns mean."""
    forms = {kind: {(r["tool"], r["variant"]) for r in records if r["record"] == kind} for kind in ["compared", "verified"]}
    lines = [
        "## Notes", "",
        f"- {len(forms['compared'])} forms were compared with a brute force: every document of a small archive, byte by byte. Of "
        f"{len(forms['verified'])} the checksum of all documents of this archive is right. All timed runs were checked by their counts.",
        "- What failed is not tried again, and failed to be verified with all threads is not timed with fewer.",
        "- Figures are medians of so many `runs`. Wall and CPU time of a peer leave out the start of its process (`start-up`); ours "
        "include it. Flink's are those of a second run in the same JVM, `first` that of the first one.",
        "- `× ours`: how many times what we take, with as many threads; documents as they change are held against our "
        "`every-second`, all others against our `documents` or `lists`.",
    ]
    return "\n".join(lines)


def cells(values):
    return "| " + " | ".join(str(value) for value in values) + " |"


def seconds(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def times(theirs, ours):
    return f"{theirs / ours:.1f}" if ours else "-"

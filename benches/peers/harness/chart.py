"""The chart of the README: annotations per CPU-second, a bar for the fastest form of each tool, as SVG."""

from html import escape

from harness import catalogue, report
from harness.catalogue import RENDERED

WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 760, 160, 130, 20, 8, 34
OURS, THEIRS = "#0b6e4f", "#8a94a6"


def svg(records):
    """One thread each, whole documents rendered; a panel for each mean length."""
    made = report.rows(records)
    panels = [(length, bars(made, length)) for length in dict.fromkeys(row.length for row in made)]
    panels = [(length, found) for length, found in panels if found]
    height = 76 + sum(HEAD + len(found) * (BAR + GAP) for _, found in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        text(16, 24, "Annotations fused per CPU-second, with one thread", weight="600", size=15),
        text(16, 43, f"{records[0]['workload']['annotations']:,} annotations, from NDJSON to rendered documents; the fastest form of each tool. In brackets: the share of ours.", size=12),
    ]
    y = 56
    for length, found in panels:
        y += HEAD
        parts.append(text(16, y - 10, f"mean length {length}", weight="600"))
        most = max(rate for _, rate, _ in found)
        for name, rate, us in found:
            width = max(1.0, (WIDTH - LEFT - RIGHT) * rate / most)
            share = "" if name == "flowstone" or not us else f" (1/{us / rate:.{0 if us / rate >= 10 else 1}f})"
            parts.append(text(LEFT - 8, y + 15, name, anchor="end"))
            colour = OURS if name.startswith("flowstone") else THEIRS
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
            parts.append(text(LEFT + width + 6, y + 15, f"{rate:,.0f}{share}"))
            y += BAR + GAP
    return "\n".join(parts + ["</svg>"]) + "\n"


def bars(made, length):
    """(name, annotations per CPU-second, ours), the fastest first."""
    us = report.best([row for row in made if row.variant.name == "documents"], "flowstone", RENDERED, 1, length)
    found = [("flowstone", us)]
    journal = [row for row in made if row.variant.name == "journal" and (row.threads, row.length) == (1, length)]
    found += [("flowstone, journal", row) for row in journal]
    theirs = [report.best(made, tool, RENDERED, 1, length) for tool in catalogue.TOOLS if tool != "flowstone"]
    found += [(f"{row.variant.tool} ({row.variant.name})", row) for row in theirs if row]
    rates = [(name, row.cpu_rate, us and us.cpu_rate) for name, row in found if row]
    return sorted(rates, key=lambda bar: -bar[1])


def text(x, y, said, anchor="start", weight="400", size=13):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" fill="#1c2430">{escape(said)}</text>'

"""Whether what was found is right.

    verdict.py DOCUMENTS TRUTH

Compares two files of documents, a line each, whatever their order.
"""

import subprocess
import sys


class Wrong(Exception):
    """A result that is not what it must be."""


def check(variant, found, truth, whole):
    """Compares counts with the truth. `whole`: the final view was summed up, so that everything must be equal.

    Raises Wrong with what differs.
    """
    if whole:
        names = ["documents", "children", "bytes", "check"]
    elif variant.final:
        names = ["documents", "children", "bytes"]
    else:
        names = []
    for name in names:
        is_missing = found.get(name) is None
        # Not every tool counts everything, but to verify all must be there.
        if is_missing and not whole and name != "documents":
            continue
        if found.get(name) != truth[name]:
            raise Wrong(f"{variant.label}: {name} is {found.get(name)}, and must be {truth[name]}")
    if not variant.final and not whole and found["documents"] < truth["documents"]:
        raise Wrong(f"{variant.label}: {found['documents']} documents were put out, fewer than the {truth['documents']} there are")


def check_documents(variant, found_path, truth_path):
    """Compares all documents, byte by byte, whatever their order. Raises Wrong with what differs."""
    # A process of its own: what it holds is not to be seen in ours.
    command = [sys.executable, __file__, str(found_path), str(truth_path)]
    compared = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if compared.returncode != 0:
        raise Wrong(f"{variant.label}: {compared.stdout.strip()}")


def main(found_path, truth_path):
    with open(found_path, "rb") as found, open(truth_path, "rb") as truth:
        found, truth = sorted(found), sorted(truth)
    if found == truth:
        return
    extra, missing = set(found) - set(truth), set(truth) - set(found)
    print(f"{len(found)} documents, {len(extra)} of them not right, {len(missing)} missing")
    for what, lines in [("not right:", extra), ("missing:", missing)]:
        if lines:
            print(" ", what, min(lines)[:300].decode(errors="replace").rstrip())
    sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])

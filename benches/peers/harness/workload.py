"""The input: made by `flowstone generate`, with what is right beside it."""

import json
import pathlib
import shutil
import subprocess
import sys
from dataclasses import dataclass

TRUTH = pathlib.Path(__file__).parent / "truth.py"


@dataclass(frozen=True)
class Size:
    """How much there is. The same size and seed are the same bytes on every machine."""

    annotations: int = 1_000_000
    assets: int = 200
    span: str = "2h"
    types: int = 4
    # One reader each, for the tools that read in parallel.
    files: int = 2
    seed: int = 1


# As dense as the whole size: about 0.7 annotations begin in an asset's second.
QUICK = Size(annotations=20_000, assets=20, span="24m")
# Shares of lines that correct or delete what is there.
CORRECTIONS, DELETIONS = 0.15, 0.08


@dataclass(frozen=True)
class Input:
    """One archive and its truth."""

    directory: pathlib.Path
    # All lines of the directory in one file.
    joined: pathlib.Path
    truth: dict
    # The documents, a line each; of small archives only.
    documents: pathlib.Path


def prepare(flowstone, place, size, length, corrected=False, with_documents=False):
    """The archive of a size and mean length below `place`; made once."""
    kind = "-corrected" if corrected else ""
    name = f"{size.annotations}-{size.assets}-{size.span}-{size.files}-{size.seed}-{length}{kind}"
    home = pathlib.Path(place) / name
    directory, truth, documents = home / "annotations", home / "truth.json", home / "documents.ndjson"
    joined = home / "joined.ndjson"
    if not truth.exists():
        options = {
            "style": "uniform", "annotations": size.annotations, "assets": size.assets, "span": size.span,
            "modalities": size.types, "mean-length": length, "parts": size.files, "seed": size.seed,
        }
        if corrected:
            options |= {"corrections": CORRECTIONS, "deletions": DELETIONS}
        flags = [flag for option, value in options.items() for flag in (f"--{option}", str(value))]
        subprocess.run([flowstone, "generate", str(directory), "--force", *flags], check=True, stdout=subprocess.DEVNULL)
        with open(joined, "wb") as out:
            for path in sorted(directory.glob("*.ndjson")):
                with open(path, "rb") as part:
                    shutil.copyfileobj(part, out, 1 << 20)
        # A process of its own: what it holds is not to be seen in ours.
        command = [sys.executable, str(TRUTH), str(directory), *([str(documents)] if with_documents else [])]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        draft = truth.with_suffix(".draft")
        draft.write_text(found)
        draft.rename(truth)
    return Input(directory, joined, json.loads(truth.read_text()), documents)

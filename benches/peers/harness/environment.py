"""What the tools need: our binary, a Python environment for each Python tool, classes and jars for Flink.

Everything is made below one directory, once for each list of versions.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

from harness import flowstone, machine

HERE = pathlib.Path(__file__).parent.parent
ROOT = HERE.parent.parent
TOOLS = HERE / "tools"
PYTHON_TOOLS = ["duckdb", "polars", "bytewax", "pathway"]
LEAST_PYTHON = (3, 10)
# Flink opens classes of the JDK; its own scripts pass these.
OPENED = ["lang", "lang.invoke", "util", "util.concurrent", "net", "io", "nio", "time"]


class Unavailable(Exception):
    """A tool that can not be installed or started here; says why."""


class Environment:
    """Makes what is needed, and gives the commands."""

    def __init__(self, place, binary=None, heap="6g", python=sys.executable):
        self.place = pathlib.Path(place).resolve()
        self.python, self.heap = python, heap
        self.place.mkdir(parents=True, exist_ok=True)
        self.flowstone = pathlib.Path(binary).resolve() if binary else build_flowstone()

    def prepare(self, tool):
        """Installs a tool. Raises Unavailable with the reason if that can not be done."""
        if tool in PYTHON_TOOLS:
            self.install_python(tool)
        elif tool == "flink":
            self.build_flink()

    def versions(self):
        """What is to be the same in all records of a results file."""
        requirements = {tool: pinned(TOOLS / "requirements" / f"{tool}.txt", tool) for tool in PYTHON_TOOLS}
        flink = (TOOLS / "flink" / "pom.xml").read_text().partition("<flink.version>")[2].partition("<")[0]
        build = digest(self.flowstone)[:12]
        version = str(machine.said([str(self.flowstone), "--version"])).removeprefix("flowstone ")
        own = {"flowstone": f"{version} (build {build})"}
        python = str(machine.said([self.python, "--version"])).removeprefix("Python ")
        runtimes = {"python": python, "java": machine.said(["java", "-version"])}
        return own | requirements | {"flink": flink} | runtimes

    def commit(self):
        """The state of the tree; not compared, because a commit of results changes nothing that is measured."""
        return machine.said(["git", "describe", "--always", "--dirty", "--abbrev=12"], ROOT) or "unknown"

    def command(self, variant, given, threads, scratch, verify=False, documents=None):
        """The command of a run, and where it is to be run. Puts in place what it needs."""
        if variant.tool == "flowstone":
            return flowstone.prepare(self.flowstone, scratch, variant, given.directory, threads, verify), scratch
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        path = (given.joined if variant.tool == "pathway" else given.directory).resolve()
        options = {"input": path, "variant": variant.name, "threads": threads, "scratch": scratch}
        if documents:
            options["documents"] = documents
        if variant.tool == "flink":
            # To time it, a second time in the same JVM: with a warm JIT.
            options |= {"verify": "true"} if verify else {"runs": 2}
            return self.java() + [f"{name}={value}" for name, value in options.items()], scratch
        flags = [flag for name, value in options.items() for flag in (f"--{name}", str(value))]
        script = TOOLS / f"fuse_{variant.tool}.py"
        return [str(self.venv(variant.tool) / "bin" / "python"), str(script), *flags, *(["--verify"] if verify else [])], scratch

    def venv(self, tool):
        return self.place / f"venv-{tool}"

    def install_python(self, tool):
        requirements = TOOLS / "requirements" / f"{tool}.txt"
        stamp = self.venv(tool) / "installed"
        wanted = hashlib.sha256(requirements.read_bytes() + str(machine.said([self.python, "--version"])).encode()).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return
        if sys.version_info < LEAST_PYTHON:
            raise Unavailable(f"needs Python {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or later")
        shutil.rmtree(self.venv(tool), ignore_errors=True)
        must([self.python, "-m", "venv", str(self.venv(tool))], "could not make a Python environment")
        pip = [str(self.venv(tool) / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        must([*pip, "-r", str(requirements)], "could not be installed")
        stamp.write_text(wanted)

    def build_flink(self):
        for program, package in [("java", "a JDK of version 17 or later"), ("mvn", "Maven")]:
            if not shutil.which(program):
                raise Unavailable(f"there is no {program}: install {package}")
        sources, out = TOOLS / "flink", self.place / "flink"
        digest = hashlib.sha256()
        for path in sorted(path for path in sources.rglob("*") if path.is_file()):
            digest.update(path.read_bytes())
        stamp = out / "built"
        if stamp.exists() and stamp.read_text() == digest.hexdigest():
            return
        shutil.rmtree(out, ignore_errors=True)
        must(["mvn", "-B", "-q", "-f", str(sources / "pom.xml"), f"-Dout={out}", "compile"], "could not be built")
        stamp.write_text(digest.hexdigest())

    def java(self):
        out = self.place / "flink"
        opens = [flag for name in OPENED for flag in ("--add-opens", f"java.base/java.{name}=ALL-UNNAMED")]
        opens += ["--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED"]
        return ["java", f"-Xmx{self.heap}", *opens, "-cp", f"{out}/classes:{out}/lib/*", "fusion.FusionJob"]


def build_flowstone():
    """Builds the program for speed. Where cargo puts it is read from what it says."""
    command = ["cargo", "build", "--release", "--locked", "--bin", "flowstone", "--message-format", "json-render-diagnostics"]
    manifest = ["--manifest-path", str(ROOT / "Cargo.toml")]
    said = subprocess.run([*command, *manifest], check=True, stdout=subprocess.PIPE, text=True).stdout
    built = [json.loads(line).get("executable") for line in said.splitlines()]
    return pathlib.Path([path for path in built if path][-1])


def digest(path):
    """The SHA-256 of a file, read piece by piece: what this process holds is what each process that it starts begins with."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def pinned(path, package):
    """The version of a package in a list of requirements."""
    lines = [line.partition("==") for line in path.read_text().splitlines()]
    return next(version for name, _, version in lines if name.lower() == package)


def must(command, what):
    """Runs a command; raises Unavailable with the last line that it says if it fails."""
    env = dict(os.environ, PIP_NO_INPUT="1")
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    if ran.returncode != 0:
        said = [line for line in ran.stdout.splitlines() if "ERROR" in line] or ran.stdout.splitlines()[-1:]
        raise Unavailable(f"{what}: {' '.join(said[:2])[:300]}")

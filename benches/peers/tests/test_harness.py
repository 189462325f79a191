"""What the harness promises: wrong results end it, it goes on where it was, limits hold, tables say what was measured."""

import json
import pathlib
import sys
import tempfile
import time
import types
import unittest
import xml.dom.minidom

from harness import catalogue, chart, flowstone, measure, report, results, truth, verdict, workload
from harness.session import Session

DUCKDB = catalogue.by_name("duckdb", "ranked")
EVERY_SECOND = catalogue.by_name("flink", "stream-1s")
TRUTH = {"documents": 2, "children": 5, "bytes": 100, "check": "00000000000000ff"}


def annotation(key, kind, start_ns, end_ns, asset="a"):
    return {
        "annotation_id": key, "type": kind, "label": "x", "associated_ids": {"ASSET_ID": asset}, "confidence_score": 0.5,
        "time_range": {"start_time_ns": start_ns, "end_time_ns": end_ns},
    }


class Temporary(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class Truth(Temporary):
    def test_joey_is_in_the_kitchen_from_4_s_to_8_s(self):
        second = 10**9
        lines = [annotation("1", "who", 2 * second, 8 * second), annotation("2", "where", 4 * second, 9 * second)]
        lines += [annotation("3", "where", 0, 3 * second), {"annotation_id": "3", "deleted": True}]
        lines += [annotation("4", "where", 0, 9 * second, asset="b"), annotation("5", "who", 9 * second, 10 * second)]
        (self.folder / "part.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
        found = [(n, json.loads(document)) for n, document in truth.documents(truth.newest(self.folder))]
        self.assertEqual([(n, document["time_bucket_start_ns"]) for n, document in found], [(2, b * second) for b in range(4, 8)])
        self.assertEqual([child["annotation_id"] for child in found[0][1]["source_annotations"]], ["2", "1"])


class Verdict(Temporary):
    def test_every_count_that_differs_is_wrong(self):
        verdict.check(DUCKDB, TRUTH, TRUTH, whole=True)
        for name in TRUTH:
            with self.assertRaisesRegex(verdict.Wrong, name):
                verdict.check(DUCKDB, TRUTH | {name: None}, TRUTH, whole=True)
        for name in ["documents", "children", "bytes"]:
            with self.assertRaisesRegex(verdict.Wrong, name):
                verdict.check(DUCKDB, TRUTH | {name: 3}, TRUTH, whole=False)
        # What is put out as it changes may be more, and not less.
        verdict.check(EVERY_SECOND, TRUTH | {"documents": 3}, TRUTH, whole=False)
        with self.assertRaises(verdict.Wrong):
            verdict.check(EVERY_SECOND, TRUTH | {"documents": 1}, TRUTH, whole=False)

    def test_documents_are_compared_whatever_their_order(self):
        found, right = self.folder / "found", self.folder / "right"
        right.write_text("a\nb\nb\n")
        found.write_text("b\na\nb\n")
        verdict.check_documents(DUCKDB, found, right)
        found.write_text("b\na\nc\n")
        with self.assertRaisesRegex(verdict.Wrong, "1 of them not right, 0 missing\n  not right: c"):
            verdict.check_documents(DUCKDB, found, right)


class Written(Temporary):
    def test_the_last_change_of_a_key_counts(self):
        line = lambda bucket, op, rest="": f'{{"key":["a",{bucket}],"epoch":7,"op":"{op}"{rest}}}\n'
        document = ',"document":{"source_annotations":[{"annotation_id":1}]}'
        (self.folder / "1.fill.ndjson").write_text(line(1, "upsert", document) + line(2, "upsert", document))
        (self.folder / "2.ndjson").write_text(line(1, "delete"))
        changes = list(flowstone.written(self.folder))
        self.assertEqual([key for key, _ in changes], [("a", 1), ("a", 2), ("a", 1)])
        self.assertEqual(json.loads(changes[0][1]), {"source_annotations": [{"annotation_id": 1}]})
        self.assertIsNone(changes[2][1])


class Measure(unittest.TestCase):
    def run_python(self, code, limit_s=20, memory_bytes=2**30):
        return measure.run([sys.executable, "-c", code], limit_s, memory_bytes)

    def test_what_a_process_takes(self):
        ran = self.run_python("import time\nx = bytes(range(256)) * 400_000\ntime.sleep(0.3)\nprint('done')")
        self.assertEqual(ran.out, "done\n")
        self.assertGreaterEqual(ran.wall_s, 0.3)
        self.assertGreater(ran.rss_mib, 90)

    def test_limits_hold(self):
        began = time.monotonic()
        for code, limits, reason in [
            ("import time; time.sleep(60)", {"limit_s": 0.5}, "its limit"),
            ("x = [bytes(2**20)] + [bytearray(b'1') * 2**20 for _ in range(300)]; import time; time.sleep(60)",
             {"memory_bytes": 200 * 2**20}, "more than its limit"),
            ("import sys; sys.exit('no such table')", {}, "ended with 1: no such table"),
        ]:
            with self.assertRaisesRegex(measure.Failed, reason):
                self.run_python(code, **limits)
        self.assertLess(time.monotonic() - began, 40)


    def test_of_a_java_exception_the_cause_is_told(self):
        said = "Exception in thread main: it failed\n\tat A.b\nCaused by: the heartbeat stopped\n\t... 31 more\n"
        self.assertEqual(measure.why(said), "Caused by: the heartbeat stopped")
        self.assertEqual([measure.why(said) for said in ("one\ntwo\n  ^~~~\n", "")], ["two", "it said nothing"])


class Stub:
    """An environment whose only tool is a line of Python."""

    def __init__(self, place, said):
        self.place, self.said, self.calls = place, said, 0

    def command(self, variant, given, threads, scratch, verify=False, documents=None):
        self.calls += 1
        return [sys.executable, "-c", f"print({json.dumps(json.dumps(self.said))})"], self.place


class Sessions(Temporary):
    HEADER = {"date": "2026-01-01", "workload": {"annotations": 1000}, "versions": {"duckdb": "2"}, "machine": {}, "commit": "c"}
    SAID = TRUTH | {"job_s": 0.1, "job_cpu_s": 0.1, "startup_s": 0.1}

    def session(self, said):
        options = types.SimpleNamespace(
            limit=20, memory=1, runs=3, slow_runs=1, threads=[1], lengths=["3s"], size=workload.QUICK, minutes=None
        )
        self.stub = Stub(self.folder, said)
        return Session(self.stub, results.Results(self.folder / "results.ndjson", self.HEADER), options)

    def time_all(self, said):
        session = self.session(said)
        given = workload.Input(self.folder, None, TRUTH, None)
        for number in range(1, 4):
            session.time(DUCKDB, 1, "3s", number, given)
        return session.results

    def test_it_goes_on_where_it_was(self):
        file = self.time_all(self.SAID)
        self.assertEqual((self.stub.calls, len(file.of("run", "duckdb", "ranked"))), (3, 3))
        # A crash that cut the last line: that run is done again.
        text = file.path.read_text()
        file.path.write_text(text[:-20])
        file = self.time_all(self.SAID)
        self.assertEqual((self.stub.calls, len(file.of("run", "duckdb", "ranked"))), (1, 3))

    def test_results_of_other_versions_are_refused(self):
        self.session(self.SAID)
        with self.assertRaisesRegex(results.Mismatch, "versions"):
            results.Results(self.folder / "results.ndjson", self.HEADER | {"versions": {"duckdb": "3"}})

    def test_a_wrong_result_ends_it(self):
        with self.assertRaises(verdict.Wrong):
            self.time_all(self.SAID | {"bytes": 99})

    def test_what_fails_is_not_tried_again(self):
        session = self.session(self.SAID)
        session.failed(DUCKDB, 1, "3s", "stopped after 1 s, its limit")
        session.time(DUCKDB, 1, "3s", 1, workload.Input(self.folder, None, TRUTH, None))
        self.assertEqual(self.stub.calls, 0)

    def test_slow_forms_run_less_often(self):
        session = self.session(self.SAID)
        wanted = [session.wanted([{"wall_s": seconds}]) for seconds in (5, 61, 241)]
        self.assertEqual(wanted, [3, 1, 1])


    def test_no_round_begins_that_would_end_too_late(self):
        session = self.session(self.SAID)
        session.options.minutes = 10
        self.assertTrue(session.has_time(1), "the first round is whole")
        session.rounds_s.append(200)
        self.assertTrue(session.has_time(2))
        session.began -= 9 * 60
        self.assertFalse(session.has_time(3))

    def test_the_brief_comparison_has_a_form_of_each_tool_and_form_of_result(self):
        brief = catalogue.chosen(catalogue.TOOLS, ["*"], False, brief=True)
        self.assertEqual({variant.tool for variant in brief}, set(catalogue.TOOLS))
        for tool in ["flowstone", "duckdb", "polars"]:
            self.assertEqual({v.form for v in brief if v.tool == tool}, {catalogue.RENDERED, catalogue.LISTS})
        self.assertTrue(all(set(v.threads) <= set(catalogue.by_name(v.tool, v.name).threads) for v in brief))


class Reports(unittest.TestCase):
    def records(self):
        size = {"annotations": 1_000_000, "assets": 200, "types": 4, "span": "2h", "files": 2}
        machine = {"cores": 2, "cpu": "a <CPU>", "memory_gib": 24, "system": "Linux"}
        yield {"record": "header", "date": "2026-01-01", "machine": machine, "workload": size, "versions": {"duckdb": "2"}, "commit": "c"}
        for tool, name, seconds in [("flowstone", "documents", [1, 9, 2]), ("duckdb", "plain", [40, 41, 39]), ("duckdb", "ranked", [20])]:
            for value in seconds:
                yield {
                    "record": "run", "tool": tool, "variant": name, "threads": 1, "length": "3s", "job_s": value, "job_cpu_s": value,
                    "rss_mib": 100 * value, "startup_s": 0,
                }
        yield {"record": "failed", "tool": "pathway", "variant": "bucket", "form": "rendered", "threads": 1, "length": "3s", "reason": "too slow"}
        yield {"record": "unavailable", "tool": "flink", "reason": "there is no mvn: install Maven"}

    def test_medians_and_ratios(self):
        text = report.markdown(list(self.records()))
        self.assertIn("| flowstone | documents: `state: none`, as the peers run | 1 | 3 | 2.00 | 2.00 | 500,000 | 500,000 | 200 |", text)
        self.assertIn("| 1 | 3 | 40.0 | 40.0 | 25,000 | 25,000 | 4,000 | 0.0 | 20.0 | 20.0 | 20.0 |", text)
        self.assertIn("| duckdb | rendered | 1 | ranked | 10.0 | 10.0 | - | - |", text)
        self.assertIn("| pathway | bucket: failed: too slow | 1 | 0 |", text)
        self.assertIn("| flink | did not run here: there is no mvn: install Maven |", text)
        columns = {line.count("|") for line in text.splitlines() if line.startswith(("| duckdb | plain", "| pathway", "| flink | did"))}
        self.assertEqual(len(columns), 1, "reasons do not break the table")

    def test_the_chart_is_svg_with_a_bar_for_each_tool(self):
        drawn = xml.dom.minidom.parseString(chart.svg(list(self.records())))
        self.assertEqual(len(drawn.getElementsByTagName("rect")), 1 + 2)
        texts = [node.firstChild.data for node in drawn.getElementsByTagName("text")]
        self.assertIn("50,000 (1/10)", texts)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""The targets of bench/gpu_day.sh by the reports in its folder: met, missed, or, where something is
missing, cut off, no figure or of another device, not measured.

    python3 bench/gpu_targets.py RESULTS DEVICE
"""
import argparse
import json
import math
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

TYPES = ("float32", "bfloat16")
PICTURES = ("memcheck_graphs", "memcheck_scales")
SANITIZED = ("memcheck_ops", "memcheck_products", "racecheck", "synccheck", *PICTURES)
COMPARED = [f"graphs_{name}" for dtype in TYPES for name in (
    f"euler_{dtype}", f"dpmpp_sde_{dtype}", f"scales_{dtype}_3", f"scales_{dtype}_4")]
NETWORKS = ("flowers256", "flowers1024", "dim_l_256", "dim_h_256", "dim_h_512", "bidim_video",
            "var16", "var30", "infinity2b_1m")
Verdict = tuple[bool, str]  # whether it is met, what was measured


class NotMeasured(Exception):
    """Why a target cannot be judged."""


def number(value: Any) -> float:
    if not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise NotMeasured(f"{value} is no figure")
    return value


class Day:
    def __init__(self, results: Path, device: str):
        self.results, self.device = results, device
        # A step's name, exit code ("" if it was left out), why it was left out.
        rows = [line.split("\t") for line in self.text("steps.tsv").splitlines()]
        self.steps = {name: (code, why) for name, code, why in rows}

    def text(self, name: str) -> str:
        path = self.results / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def check(self, step: str, told: bool, otherwise: str = "told nothing") -> None:
        """Raises unless the step ended well and has told what it should."""
        code, why = self.steps.get(step, ("", "did not run"))
        if code:
            why = {"0": otherwise, "124": "ran out of time",
                   "127": "no such program"}.get(code, f"exit code {code}")
        if code != "0" or not told:
            raise NotMeasured(f"{step}: {why}")

    def objects(self, step: str, name: str) -> list[dict[str, Any]]:
        """What a file has as JSON: one object, or one a line among others."""
        text = self.text(name)
        for parts in [text], re.findall("^{.*}$", text, re.MULTILINE):
            try:
                if parts:
                    return [json.loads(part) for part in parts]
            except ValueError:
                continue
        self.check(step, False, f"{name} is missing, empty or cut off")
        return []

    def tests(self, step: str, name: str) -> dict[str, Any]:
        """GoogleTest's report."""
        report, = self.objects(step, name)
        if report.get("device") != self.device or not report["tests"]:
            raise NotMeasured(f"{step}: no test ran on {self.device}")
        return report


def parity(day: Day) -> Verdict:
    shards = [day.tests("parity", f"parity/{path.name}")
              for path in (day.results / "parity").glob("*.json")]
    failures = sum(shard["failures"] for shard in shards)
    if failures:
        return False, f"{failures} tests fail"
    counts = [sum(int(test.get(dtype, 0)) for shard in shards for suite in shard["testsuites"]
                  for test in suite["testsuite"]) for dtype in TYPES]
    day.check("parity", all(counts), "no case ran")
    return True, ", ".join(f"{count} cases in {dtype}" for count, dtype in zip(counts, TYPES))


def sanitizer(day: Day) -> Verdict:
    counts = {step: re.findall(r"^=+ .*SUMMARY: (\d+) ", day.text(f"{step}.log"), re.MULTILINE)
              for step in SANITIZED}
    found = [step for step, count in counts.items() if any(map(int, count))]
    if found:
        return False, f"errors or hazards: {', '.join(found)}"
    for step, count in counts.items():
        day.check(step, bool(count), "no summary")
        if step not in PICTURES:  # which fail without the device
            day.tests(step, f"{step}.json")
    return True, "nothing found"


def graphs(day: Day) -> Verdict:
    for dtype in TYPES:
        report = day.objects(f"passes_{dtype}", f"passes_{dtype}.log")[0]
        day.check(f"passes_{dtype}", True)
        device = report.get("device", {"records": False, "obstacles": ["no GPU"]})
        if not device["records"] or device["obstacles"]:
            raise NotMeasured(f"passes are not recorded: {', '.join(device['obstacles'])}")
    differ = [name for name in COMPARED if day.steps.get(name, "")[:1] == ("1",)]
    for name in COMPARED if not differ else []:
        day.check(name, True)
    return not differ, ", ".join(differ) or f"{len(COMPARED)} pairs"


def faster(day: Day, name: str) -> Verdict:
    """A pass or a picture at least 1.5 times as fast as by the fastest way of PyTorch's."""
    times = {row["who"]: number(row["seconds"]) for row in day.objects(name, "times.jsonl")
             if (row["name"], row["dtype"]) == (f"{name}_batch1", "bfloat16")}
    ours = times.pop("gesso bfloat16", 0)
    if not ours or not times:
        day.check(name, False, "no figure of both sides")
    best = min(times, key=times.__getitem__)
    alone = ", no other way" if len(times) == 1 else ""
    ratio = times[best] / ours
    if ratio >= 1.5:
        day.check(name, True)  # or a faster way may not have had its turn
    return ratio >= 1.5, (f"{ratio:.2f}: {1e3 * ours:.4g} ms, {best} "
                          f"{1e3 * times[best]:.4g} ms{alone}")


def warm(day: Day, step: str, limit: float) -> Verdict:
    """The fastest picture but the first, in milliseconds."""
    times = [1e3 * number(job["seconds"]) for job in day.objects(step, f"{step}.log")[1:]]
    day.check(step, bool(times), "no second picture")
    return min(times) <= limit, f"{min(times):.4g} ms"


def large(day: Day, op: str, dtype: str, counter: str) -> tuple[float, str]:
    """The least of a counter in the lines OP/IMPLEMENTATION/large/... of gesso_bench_ops, and
    whose it is."""
    report, = day.objects("bench_large", "bench_large.json")
    what, _, shape = op.partition(" ")
    pattern = f"{what}/[^/]+/large/{shape}.*(?<=/){dtype}/"
    lines = [line for line in report["benchmarks"] if re.match(pattern, line["name"])]
    if not lines:
        raise NotMeasured(f"bench_large: no {op} in {dtype}")
    return min((number(line.get(counter)), line["name"].split("/large/")[1].split("/iter")[0])
               for line in lines)


def share(day: Day, op: str, peaks: tuple[str, str]) -> Verdict:
    """At least 0.8 of a peak, the worst line in each type."""
    worst = [large(day, op, dtype, peak) for dtype, peak in zip(TYPES, peaks)]
    return min(worst)[0] >= 0.8, "; ".join(f"{least:.2f} {name}" for least, name in worst)


def wide_neighborhood(day: Day) -> Verdict:
    time = large(day, "neighborhood_attention flux81", "bfloat16", "real_time")[0] / 1e3
    return time <= 16.2, f"{time:.4g} ms"


TARGETS = {
    "parity": parity, "sanitizer": sanitizer, "graphs, the same bytes": graphs,
    **{f"{name}, 1.5 x PyTorch": partial(faster, name=name) for name in NETWORKS},
    **{f"{op}, 0.8 of the product": partial(share, op=op, peaks=("of_gemm", "of_bf16"))
       for op in ("linear bias_gelu", "linear bias_residual", "linear_glu")},
    **{f"{op}, 0.8 of the copy": partial(share, op=op, peaks=("of_copy", "of_copy"))
       for op in ("selective_scan", "ssd", "rms_norm", "layer_norm", "group_norm")},
    "neighborhoods 81 x 81, 16.2 ms": wide_neighborhood,
    "VAR-d16, 40 ms": partial(warm, step="var16_warm", limit=40),
    "demo prompt, 60 ms": partial(warm, step="demo_prompt", limit=60)}


def judge(day: Day) -> dict[str, tuple[str, str]]:
    """The verdict and what was measured, by target."""
    found = {}
    for what, target in TARGETS.items():
        try:
            met, measured = target(day)
            found[what] = ("met" if met else "missed", measured)
        except NotMeasured as why:
            found[what] = ("not measured", str(why))
        except (AttributeError, LookupError, TypeError, ValueError) as fault:
            found[what] = ("not measured", f"a report cannot be read: {fault!r}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("device", metavar="DEVICE", help="that the tests must have run on")
    options = parser.parse_args()
    found = judge(Day(options.results, options.device))
    print(f"| target, on {options.device} | verdict | measured |\n|---|---|---|")
    for what, (verdict, measured) in found.items():
        print(f"| {what:40} | {verdict:12} | {measured} |")
    return int(any(verdict != "met" for verdict, _ in found.values()))


if __name__ == "__main__":
    sys.exit(main())

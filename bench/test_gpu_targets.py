"""Checks of what a GPU day's table says; run with pytest."""
import json
import shutil
from pathlib import Path

import pytest

from bench.gpu_targets import COMPARED, NETWORKS, PICTURES, SANITIZED, TYPES, Day, judge

OPS = ["linear/a/large/bias_gelu/", "linear/a/large/bias_residual/", "linear_glu/a/large/",
       "selective_scan/a/large/both/", "ssd/a/large/", "rms_norm/a/large/", "layer_norm/a/large/",
       "group_norm/a/large/", "neighborhood_attention/a/large/flux81/"]
FIGURES = {"real_time": 15e3, "of_gemm": 0.85, "of_bf16": 0.85, "of_copy": 0.85}
PASSES = [f"passes_{dtype}" for dtype in TYPES]
STEPS = ["parity", *SANITIZED, *COMPARED, *PASSES, *NETWORKS, "bench_large", "demo_prompt",
         "var16_warm"]


@pytest.fixture(name="day")
def good_day(tmp_path: Path) -> Path:
    tests = {"tests": 2, "failures": 0, "device": "cuda"}
    cases = [{"name": "a", "float32": "3", "bfloat16": "2"}, {"name": "b", "float32": "1"}]
    times = [{"name": f"{name}_batch1", "dtype": "bfloat16", "who": who, "seconds": seconds}
             for name in NETWORKS
             for who, seconds in [("gesso bfloat16", 0.03), ("eager", 0.09), ("graphs", 0.05)]]
    files = {"steps.tsv": "".join(f"{step}\t0\t\n" for step in STEPS),
             "parity/0.json": json.dumps(tests | {"testsuites": [{"testsuite": cases}]}, indent=1),
             "times.jsonl": "\n".join(map(json.dumps, times)),
             "bench_large.json": json.dumps({"benchmarks": [
                 {"name": f"{op}{dtype}/8x8/iterations:5"} | FIGURES
                 for op in OPS for dtype in TYPES]}),
             "var16_warm.log": '{"seconds":0.4}\n{"seconds":0.039}\n',
             "demo_prompt.log": 'a line\n{"seconds":0.4}\n{"seconds":0.05}\n'}
    for step in SANITIZED:
        files[f"{step}.log"] = "===== SUMMARY: 0 errors"
        if step not in PICTURES:
            files[f"{step}.json"] = json.dumps(tests)
    for step in PASSES:
        files[f"{step}.log"] = '{"device":{"records":true,"obstacles":[]}}'
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_good_day_meets_everything(day: Path) -> None:
    found = judge(Day(day, "cuda"))
    assert {verdict for verdict, _ in found.values()} == {"met"}
    assert found["parity"][1] == "4 cases in float32, 2 cases in bfloat16"
    assert found["var30, 1.5 x PyTorch"][1] == "1.67: 30 ms, graphs 50 ms"


def test_an_empty_day_measures_nothing(tmp_path: Path) -> None:
    found = judge(Day(tmp_path, "cuda")).values()
    assert all(verdict == "not measured" and "did not run" in why for verdict, why in found)


@pytest.mark.parametrize("target, name, old, new, verdict", [
    ("parity", "parity/0.json", '"failures": 0', '"failures": 1', "missed"),
    ("parity", "parity/0.json", '"bfloat16": "2"', '"x": 0', "no case ran"),
    ("sanitizer", "racecheck.log", "0 errors", "2 hazards", "missed"),
    ("sanitizer", "synccheck.log", "SUMMARY", "Device not supported", "no summary"),
    ("sanitizer", "steps.tsv", "memcheck_ops\t0", "memcheck_ops\t1", "exit code 1"),
    ("sanitizer", "memcheck_ops.json", '"device"', '"a"', "no test ran on cuda"),
    ("graphs", "steps.tsv", f"{COMPARED[1]}\t0", f"{COMPARED[1]}\t1", "missed"),
    ("graphs", "steps.tsv", f"{COMPARED[1]}\t0\t", f"{COMPARED[1]}\t\tno time", "no time"),
    ("graphs", "passes_bfloat16.log", "[]", '["an op"]', "not recorded: an op"),
    ("graphs", "steps.tsv", "passes_float32\t0", "passes_float32\t1", "exit code 1"),
    ("var30", "steps.tsv", "var30\t0", "var30\t124", "ran out of time"),
    ("demo", "steps.tsv", "demo_prompt\t0", "demo_prompt\t1", "exit code 1"),
    ("var30", "times.jsonl", "0.05", "0.04", "missed"),
    ("var30", "times.jsonl", "0.05", "NaN", "nan is no figure"),
    ("var30", "times.jsonl", '"who"', '"a"', "cannot be read"),
    ("demo", "demo_prompt.log", '{"seconds":0.4}', "", "no second picture"),
    ("linear_glu", "bench_large.json", '"of_bf16": 0.85', '"of_bf16": 0.79', "missed"),
    ("linear_glu", "bench_large.json", "linear_glu", "linear", "no linear_glu"),
    ("ssd", "bench_large.json", '"of_copy": 0.85', '"of_copy": NaN', "nan is no figure"),
    ("neighborhoods", "bench_large.json", "15000.0", "16300.0", "missed"),
    ("neighborhoods", "bench_large.json", "}]}", "", "cut off")])
def test_whatever_is_wrong_shows(day: Path, target: str, name: str, old: str, new: str,
                                 verdict: str) -> None:
    replace(day / name, old, new)
    found, why = next(value for what, value in judge(Day(day, "cuda")).items()
                      if what.startswith(target))
    assert found == verdict or found == "not measured" and verdict in why


def test_what_is_missing_is_not_met(day: Path) -> None:
    for path in (path for path in day.iterdir() if path.name != "steps.tsv"):
        aside = shutil.move(path, day.parent / "aside")
        found = {verdict for verdict, _ in judge(Day(day, "cuda")).values()}
        assert found == {"met", "not measured"}
        shutil.move(aside, path)

#!/usr/bin/env python3
"""Runs the gateway's fuzz targets for a while each, from the recorded inputs.

usage: fuzz.py [--seconds N] [TARGET]…        (scanner, gzip, influxql; all without a name)

Seeds are made from ../shared/data at each run, into target/fuzz/seeds; where that is absent a few lines do. What a run finds new stays in
target/fuzz/corpus for the next one. An input that fails is kept in target/fuzz/failures, and is run again with
`target/release/fuzz-TARGET FILE`. The exit code is not 0 if there is one.
"""
import argparse
import base64
import gzip
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = ROOT / "target" / "fuzz"
DATA = ROOT.parent / "shared" / "data"
PRECISIONS = {"ns": 0, "us": 1, "ms": 2, "s": 3, "m": 4, "h": 5}
# No input takes longer or more memory, and no longer one finds anything new.
LIMITS = ["-timeout=10", "-rss_limit_mb=1024", "-max_len=4096"]
WORDS = {
    "scanner": [" ", ",", "=", '"', "\\\\", "\\x0a", "\\x0d\\x0a", "#", "i ", "u ", "1e400", "NaN", "true", "time", "_field", "\\x00"],
    "gzip": ["\\x1f\\x8b\\x08", "\\x00\\x00\\xff\\xff"],
    "influxql": ["SELECT ", " FROM ", " WHERE ", " GROUP BY ", "time(", "fill(", " ORDER BY time DESC", " LIMIT ", " tz('", "SHOW ",
                 "TAG VALUES ", " WITH KEY ", "=~", "/.*/", "::float", "now()", " AND ", " OR ", "\\\"", "'", ";", "/*", "*/", "--"],
}


def lines():
    """Recorded line protocol: text and precision."""
    path = DATA / "line-protocol" / "influxdb-v2-verdicts.jsonl.gz"
    if not path.exists():
        print(f"fuzz: {path} is absent; the seeds are a few lines", file=sys.stderr)
        return [(b'm,t=a f=1,g=2i,h="x\ny" 17\n# c\nbad\r\n', 0)]
    with gzip.open(path, "rt") as file:
        cases = [json.loads(line) for line in file]
    return [(base64.b64decode(case["input_b64"]), PRECISIONS[case["precision"]]) for case in cases]


def queries():
    path = DATA / "influxql" / "dev.jsonl.gz"
    if not path.exists():
        print(f"fuzz: {path} is absent; the seeds are a query", file=sys.stderr)
        return ["SELECT mean(f) FROM m WHERE time > now() - 1h GROUP BY time(5m), host fill(null)"]
    with gzip.open(path, "rt") as file:
        return [json.loads(line)["params"].get("q", "") for line in file]


def seeds(target):
    if target == "scanner":
        return [bytes([precision, at % 7]) + text for at, (text, precision) in enumerate(lines())]
    if target == "gzip":
        some = [text for text, _ in lines()][::8]
        two = [gzip.compress(one) + gzip.compress(other) for one, other in zip(some, some[1:50])]
        return [bytes([at % 21]) + packed for at, packed in enumerate([gzip.compress(text) for text in some] + two)]
    return [query.encode() for query in queries()]


def run(target, seconds):
    start, corpus, failures = (FOLDER / name / target for name in ("seeds", "corpus", "failures"))
    for folder in (start, corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (start / f"{number:05}").write_bytes(seed)
    words = FOLDER / f"{target}.dict"
    words.write_text("".join(f'"{word}"\n' for word in WORDS[target]))
    command = [ROOT / "target" / "release" / f"fuzz-{target}", f"-max_total_time={seconds}", f"-dict={words}", *LIMITS,
               f"-artifact_prefix={failures}/", corpus, start]
    outcome = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    lines_out = outcome.stderr.splitlines()
    done = next((line for line in reversed(lines_out) if line.startswith("Done")), "")
    print(f"fuzz: {target}: {done or 'FAILED'}; {sum(1 for _ in corpus.iterdir())} inputs beyond the seeds", flush=True)
    if outcome.returncode:
        print("\n".join(lines_out[-40:]), file=sys.stderr)
    return outcome.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    unknown = set(options.targets) - set(WORDS)
    if unknown:
        sys.exit(f"fuzz: no {unknown.pop()!r}; known: {', '.join(WORDS)}")
    outcomes = [run(target, options.seconds) for target in options.targets or WORDS]
    sys.exit(0 if all(outcomes) else 1)


if __name__ == "__main__":
    main()

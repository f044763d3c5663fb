#!/usr/bin/env bash
# What the parts of a forecast are worth: the same evaluation with one of them left out at a time; or what the network's inputs
# or the kinds of network are worth, each from random weights.
#
# usage: ablation.sh FOLDER SCORER [BINARY] [parts|inputs|kinds]
#   FOLDER   series_5min.csv.gz, windows.csv.gz and series.csv
#   SCORER   a program that takes a file of forecasts and --data FOLDER, run by $PYTHON (python3, with pandas)
#   BINARY   target/release/headroom-forecaster
#   parts    all hosts, about two minutes a row on two cores; the default
#   inputs   every third host ($EVERY): the network alone, without a base, with one of its inputs left out at a time
#   kinds    every eighth host ($EVERY), a fleet's base from random weights and each host's own fit
#
# Prints for each row the scorer's table and the seconds of processor time.
set -euo pipefail
folder=$(realpath "$1") scorer=$2 binary=${3:-target/release/headroom-forecaster} rows=${4:-parts}
python=${PYTHON:-python3}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
TIMEFORMAT='%U s of processor time'

# The scorer wants a forecast for every window of its folder: those of the hosts that were asked.
sample() {
  ln -sf "$folder/series.csv" "$folder/series_5min.csv.gz" "$out"
  "$python" - "$folder" "$out" <<'PY'
import sys

import pandas as pd

folder, out = sys.argv[1:]
asked = pd.read_parquet(f"{out}/forecasts.parquet", columns=["series_id"]).series_id.unique()
windows = pd.read_csv(f"{folder}/windows.csv.gz")
windows[windows.series_id.isin(asked)].to_csv(f"{out}/windows.csv.gz", index=False)
PY
}

row() {
  echo "== ${*:-all}"
  time "$binary" backtest --series "$folder/series_5min.csv.gz" --windows "$folder/windows.csv.gz" \
    --out "$out/forecasts.parquet" --seed 1 "$@" 2>/dev/null
  sample
  "$python" "$scorer" "$out/forecasts.parquet" --data "$out" | sed '/^$/,$d'
}

parts() {
  row
  row --model lstm
  row --model lstm --without widening
  row --without fleet
  row --without base
  row --without base --without fleet
  row --without tuning --without refresh
  row --without refresh
  row --model auto_theta
  row --model seasonal_naive_day
}

inputs() {
  local alone=(--model lstm --without base --every "${EVERY:-3}")
  row "${alone[@]}"
  row "${alone[@]}" --without transform
  row "${alone[@]}" --without robust
  row "${alone[@]}" --without calendar
  row "${alone[@]}" --without candidates
}

kinds() {
  local sample=(--every "${EVERY:-8}")
  row --model lstm "${sample[@]}"
  row --model lstm --without base "${sample[@]}"
  row --model tcn "${sample[@]}"
  row --model attention "${sample[@]}"
}

"$rows"

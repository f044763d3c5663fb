#!/usr/bin/env bash
# What the parts of a forecast are worth: the same evaluation with one of them left out at a time.
#
# usage: ablation.sh FOLDER SCORER [BINARY]
#   FOLDER   series_5min.csv.gz, windows.csv.gz and series.csv
#   SCORER   a program that takes a file of forecasts and --data FOLDER, run by $PYTHON (python3)
#   BINARY   target/release/headroom-forecaster
#
# Prints the scorer's table for each row. A row takes about two minutes on two cores.
set -euo pipefail
folder=$1 scorer=$2 binary=${3:-target/release/headroom-forecaster}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

row() {
  echo "== ${*:-all}"
  "$binary" backtest --series "$folder/series_5min.csv.gz" --windows "$folder/windows.csv.gz" \
    --out "$out/forecasts.parquet" --seed 1 "$@" 2>/dev/null
  "${PYTHON:-python3}" "$scorer" "$out/forecasts.parquet" --data "$folder" | sed '/^$/,$d'
}

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

#!/usr/bin/env python3
"""Puts the real servers of the end-to-end run into a user's cache and prints the path of each.

usage: servers.py [telegraf | influxdb2 | influxdb1 | node-exporter | chromium | chromedriver]…   (all without a name)

Telegraf and InfluxDB 2 are built with Go's client (two and four minutes on two cores; the second also wants cargo, for
Flux); Debian's packages bring the others where they are missing, which wants root. The cache is
HEADROOM_CACHE, else headroom/ in the user's cache folder, with one folder a version: what is there is not built again.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TELEGRAF = "1.37.2"
INFLUXDB2 = "2.7.12"
TELEGRAF_TAGS = ",".join([
    "custom", "inputs.cpu", "inputs.mem", "inputs.swap", "inputs.disk", "inputs.diskio", "inputs.net", "inputs.system",
    "inputs.processes", "inputs.kernel", "inputs.prometheus", "outputs.influxdb", "outputs.influxdb_v2",
    "outputs.http", "outputs.file", "parsers.influx", "parsers.prometheus", "serializers.influx"])
MODULE = pathlib.Path(__file__).resolve().parent / "servers" / "influxdb2"


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(os.environ.get("HEADROOM_CACHE") or pathlib.Path(base) / "headroom")


def say(text):
    print(f"servers: {text}", file=sys.stderr, flush=True)


def run(arguments, **options):
    subprocess.run(arguments, check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr, **options)


def telegraf():
    """Builds Telegraf with the plugins that telegraf/*.conf use."""
    def build(folder):
        run(["go", "install", "-tags", TELEGRAF_TAGS, f"github.com/influxdata/telegraf/cmd/telegraf@v{TELEGRAF}"],
            env=os.environ | {"GOBIN": str(folder), "CGO_ENABLED": "0", "GOFLAGS": ""}, cwd=folder)
    return built(f"telegraf-{TELEGRAF}", "telegraf", build)


def influxdb2():
    """Builds InfluxDB 2's server from the versions that .dev/servers/influxdb2/go.sum pins."""
    return built(f"influxdb-{INFLUXDB2}", "influxd", build_influxdb2)


def build_influxdb2(folder):
    # Flux's Rust part is built by cargo, which InfluxData's stand-in for pkg-config starts. It pins a Rust that is not
    # to be had, and newer compilers' lints are errors in its build-time crates, which RUSTFLAGS does not reach.
    lints = folder / "rustc-warn"
    lints.write_text('#!/bin/sh\nexec "$@" --cap-lints warn\n')
    lints.chmod(0o755)
    environment = os.environ | {"GOBIN": str(folder), "GOFLAGS": "", "RUSTC_WORKSPACE_WRAPPER": str(lints),
                                "RUSTUP_TOOLCHAIN": toolchain()}
    for name in ("CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_BUILD_TARGET", "LIBTORCH"):
        environment.pop(name, None)
    run(["go", "install", "github.com/influxdata/pkg-config"], env=environment, cwd=MODULE)
    run(["go", "install", "-tags", "sqlite_foreign_keys,sqlite_json", "github.com/influxdata/influxdb/v2/cmd/influxd"],
        env=environment | {"PKG_CONFIG": str(folder / "pkg-config")}, cwd=MODULE)


def toolchain():
    if not shutil.which("rustup"):
        return os.environ.get("RUSTUP_TOOLCHAIN", "")
    shown = subprocess.run(["rustup", "show", "active-toolchain"], check=True, capture_output=True, text=True)
    return shown.stdout.split()[0]


def influxdb1():
    return debian("influxdb", "influxd")


def node_exporter():
    return debian("prometheus-node-exporter", "prometheus-node-exporter")


def chromium():
    return debian("chromium", "chromium")


def chromedriver():
    return debian("chromium-driver", "chromedriver")


def built(name, program, build):
    """The program in the cache; `build` is given a scratch folder, which is published whole when it is done."""
    place = cache() / name
    if not (place / program).is_file():
        say(f"building {name} (once; kept in {cache()})")
        if not shutil.which("go"):
            sys.exit(f"servers: {name} is built with Go, and no `go` is on the PATH; install Go 1.26.3 or newer")
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache(), prefix=f".{name}-") as scratch:
            folder = pathlib.Path(scratch) / name
            folder.mkdir()
            build(folder)
            shutil.rmtree(place, ignore_errors=True)
            folder.rename(place)
    return place / program


def debian(package, program):
    """The program of a Debian package, which is installed where it is missing."""
    if not shutil.which(program):
        say(f"installing Debian's {package}")
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "-qq", "update"])
        run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", package], env=quiet)
    return pathlib.Path(shutil.which(program) or sys.exit(f"servers: Debian's {package} brought no {program}"))


SERVERS = {"telegraf": telegraf, "influxdb2": influxdb2, "influxdb1": influxdb1, "node-exporter": node_exporter,
           "chromium": chromium, "chromedriver": chromedriver}


def main():
    names = sys.argv[1:] or list(SERVERS)
    unknown = [name for name in names if name not in SERVERS]
    if unknown:
        sys.exit(f"servers: no {unknown[0]!r} here; known: {', '.join(SERVERS)}\n\n{__doc__}")
    for name in names:
        print(f"{name} {SERVERS[name]()}", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Asks running services what their OpenAPI documents promise: requests that schemathesis makes of the documents, answers held to them.

usage: api_check.py [--examples N]      (after a release build and `make tools`; `make api-check` does all)

The gateway, on the embedded store, and the forecaster run in a throw-away folder with two days of two simulated hosts, one
of which is trained. The forecaster goes first: what is asked of the gateway may take its points away.
"""
import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

from live import fleet
from live.process import Failed, outer_environment
from live.services import ROOT, Forecaster, Gateway, binary

HOSTS = ["web-01", "database-01"]
SCHEMATHESIS = ROOT / ".cache" / "tools" / "bin" / "schemathesis"
# Values of parameters that lead to something; beside them stand those that schemathesis makes up.
CONFIGURATION = ROOT / ".dev" / "schemathesis.toml"
# A gateway without tokens would begin to ask for one as soon as a request made the first.
TOKEN = "check-0123456789abcdef0123456789abcdef"
# What a document promises of an answer. That every request beyond the document is refused is not promised: parameters
# that nobody asks for are passed over, as InfluxDB's API has it.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--examples", type=int, default=20, help="requests an operation (20)")
    asked = arguments.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="headroom-api-"))
    try:
        (folder / "tokens").write_text(f"{TOKEN} read,write,admin\n")
        (folder / "tokens").chmod(0o600)
        with Gateway(folder, HEADROOM_TOKENS_FILE=folder / "tokens") as gateway:
            backfill(gateway)
            with Forecaster(folder, gateway, HEADROOM_TOKEN=TOKEN, HEADROOM_TRAIN_ON_START="false",
                            HEADROOM_DISCOVERY_INTERVAL_S=1) as forecaster:
                fleet.wait_for_hosts(forecaster, HOSTS)
                fleet.train(forecaster, HOSTS[:1])
                faulty = [service.name for service in (forecaster, gateway) if not holds(service, asked.examples)]
    except Failed as error:
        sys.exit(f"\napi-check: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if faulty:
        sys.exit(f"\napi-check: {' and '.join(faulty)} did not answer as documented; each failure above ends in a curl that repeats it")


def backfill(gateway):
    code = subprocess.call(
        [binary("headroom-simulator"), "fleet", "--hosts", str(len(HOSTS)), "--days", "2", "--step", "5m", "--no-live"],
        env=outer_environment() | {"HEADROOM_GATEWAY_URL": gateway.url, "HEADROOM_TOKEN": TOKEN})
    if code != 0:
        raise Failed(f"the simulator ended with exit code {code}\n{gateway.tail()}")


def holds(service, examples):
    """Whether every answer of a service is one that its document has."""
    print(f"\napi-check: {service.name} on {service.url}", flush=True)
    code = subprocess.call([
        SCHEMATHESIS, "--config-file", CONFIGURATION, "run", ROOT / "openapi" / f"{service.name}.json", "--url", service.url, "--checks", CHECKS,
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", "1", "--generation-database", "none",
        "--header", f"Authorization: Token {TOKEN}", "--request-timeout", "60", "--no-color"], cwd=service.folder)
    if not service.running():
        raise Failed(f"the {service.name} ended with exit code {service.child.returncode}\n{service.tail()}")
    return code == 0


if __name__ == "__main__":
    main()

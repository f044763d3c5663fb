"""Bad input and bad luck: each gets an answer, or a line on stderr, that says what was wrong; nothing falls over."""
import gzip
import json
import os
import socket
import time

from live import fleet, web
from live.process import Failed, Process, free_port
from live.services import START_TIMEOUT_S, Forecaster, Gateway, binary

from .bench import expect

TITLE = "bad input and bad luck"
READER = "e2e-only-reads-0123456789abcdef"
WRITER = "e2e-only-writes-0123456789abcdef"
HOST = "generic-01"


def run(bench):
    with bench.step("settings that cannot work end the start with one clear line"):
        starts(bench)
    with bench.step("credentials: none 401, wrong 401, without the scope 403, each dialect's way of presenting them"):
        credentials(bench)
    folder = bench.scratch("plain")
    gateway = bench.start(Gateway(folder))
    with bench.step("a bad line is refused by its number, in each dialect; its neighbours are stored"):
        bad_lines(gateway)
    with bench.step("bodies that lie, or are empty, or too large"):
        bodies(gateway)
    forecaster = bench.start(prepared(bench, folder, gateway))
    with bench.step("unknown hosts and targets, and figures out of range"):
        unknown(forecaster)
    with bench.step("a short, a constant and an empty history"):
        poor_histories(forecaster)
    with bench.step("a corrupted model file leaves the other hosts served"):
        forecaster = corrupted_model(bench, folder, gateway, forecaster)
    with bench.step("the gateway is away: an answer that says so, and recovery without a restart"):
        gateway_away(bench, folder, gateway, forecaster)


def starts(bench):
    folder = bench.scratch("starts")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for service in ("gateway", "forecaster"):
            cases = {
                "in use": {"HEADROOM_LISTEN": address},
                "HEADROOM_TOKENS_FILE": {"HEADROOM_LISTEN": f"0.0.0.0:{free_port()}"},
                "listen": {"HEADROOM_LISTEN": "here"},
                "/proc/headroom": {"HEADROOM_DATA_DIR": "/proc/headroom"},
                "missing.toml": {"HEADROOM_CONFIG": "missing.toml"},
            }
            for said, settings in cases.items():
                refused_start(folder, service, said, settings)


def refused_start(folder, service, said, settings):
    log = folder / f"{service}-{said.replace('/', '_')}.log"
    settings = {"HEADROOM_LISTEN": f"127.0.0.1:{free_port()}", "HEADROOM_DATA_DIR": folder / service} | settings
    with Process(service, [binary(f"headroom-{service}")], log, settings) as process:
        code = process.child.wait(START_TIMEOUT_S)
        text = log.read_text()
        expect(code in (1, 2), f"{service} with {settings} ended with {code}: {text}")
        expect(said.lower() in text.lower() and "panicked" not in text, f"{service} does not speak of {said!r}: {text}")


def credentials(bench):
    folder = bench.scratch("tokens")
    tokens = folder / "tokens"
    tokens.write_text(f"{READER} read\n{WRITER} write\n")
    with Gateway(folder, HEADROOM_TOKENS_FILE=tokens) as gateway:
        for headers, status in ((None, 401), ({"Authorization": "Token wrong"}, 401),
                                ({"Authorization": f"Token {READER}"}, 403), ({"Authorization": f"Token {WRITER}"}, 204),
                                ({"Authorization": f"Bearer {WRITER}"}, 204)):
            answer = web.call("POST", f"{gateway.url}/api/v2/write", "m f=1 1", headers, bucket="telegraf")
            expect(answer.status == status, f"{headers}: {status} is right; the answer is {answer}")
        answer = web.call("POST", f"{gateway.url}/write", "m f=1 1", db="telegraf", u="any", p=WRITER)
        expect(answer.status == 204, f"u and p: {answer}")
        for secret, status in ((READER, 200), (WRITER, 403), ("wrong", 401)):
            answer = web.get(f"{gateway.url}/query", q="SHOW MEASUREMENTS", db="telegraf", u="any", p=secret)
            expect(answer.status == status, f"/query: {status} is right; the answer is {answer}")
        for path in ("/ping", "/health", "/ready", "/metrics"):
            expect(web.get(f"{gateway.url}{path}").status in (200, 204), f"{path} is not open")
        expect(WRITER not in gateway.log.read_text(), "the log holds a token")


def bad_lines(gateway):
    text = 'cpu,host=a f=1 1000000000\ncpu,host=a f=oops 2000000000\ncpu,host=a,host=b f=1 3000000000\ncpu,host=a f=4 4000000000\n'
    v2 = web.call("POST", f"{gateway.url}/api/v2/write", text, bucket="v2")
    expect(v2.status == 400 and v2.json()["code"] == "invalid", f"v2: {v2}")
    v1 = web.call("POST", f"{gateway.url}/write", text, db="v1")
    expect(v1.status == 400 and v1.json()["error"].startswith("partial write"), f"v1: {v1}")
    for answer, database in ((v1, "v1"), (v2, "v2")):
        expect("line 2" in answer.text() and "line 3" in answer.text(), f"the lines are not named: {answer}")
        stored = gateway.query('SELECT "f" FROM "cpu"', database)[0]["values"]
        expect(stored == [[1_000_000_000, 1], [4_000_000_000, 4]], f"{database} holds {stored}")
    typed = web.call("POST", f"{gateway.url}/api/v2/write", "cpu,host=a f=1i 5000000000", bucket="v2")
    expect(typed.status in (400, 422) and "float" in typed.text() and "integer" in typed.text(), f"a type conflict: {typed}")
    expect(gateway.running(), "the gateway ended")


def bodies(gateway):
    url = f"{gateway.url}/api/v2/write"
    zipped = {"Content-Encoding": "gzip"}
    cases = [
        ("an empty body", b"", {}, 204),
        ("an empty body said to be gzip", b"", zipped, 204),
        ("text said to be gzip", b"m f=1 1", zipped, 400),
        ("gzip cut short", gzip.compress(b"m f=1 1\n" * 1000)[:-12], zipped, 400),
        ("gzip with a wrong checksum", gzip.compress(b"m f=1 1")[:-8] + b"\0" * 8, zipped, 400),
        ("an encoding that nobody knows", b"m f=1 1", {"Content-Encoding": "br"}, 415),
        ("320 MB of lines in 1 MB", gzip.compress(b"m f=1 1\n" * 40_000_000, 1), zipped, 413),
        ("one line of 300 MB", gzip.compress(b" " * 300_000_000, 1), zipped, 400),
    ]
    for what, body, headers, status in cases:
        answer = web.call("POST", url, body, headers, bucket="telegraf")
        expect(answer.status == status, f"{what}: {status} is right; the answer is {answer}")
        expect(status == 204 or answer.json()["message"], f"{what}: no message in {answer}")
    missing = web.call("POST", url, "m f=1 1")
    expect(missing.status in (400, 404) and "bucket" in missing.text(), f"without a bucket: {missing}")
    precision = web.call("POST", url, "m f=1 1", bucket="telegraf", precision="days")
    expect(precision.status == 400 and "precision" in precision.text(), f"an unknown precision: {precision}")


def prepared(bench, folder, gateway):
    """A forecaster with one good host, and three whose histories are poor."""
    bench.start(fleet.simulator(folder, gateway, "fleet", "--hosts", 1, "--profiles", "generic", "--days", 7, "--no-live")).wait(60)
    now_s = int(time.time())
    lines = [f"mem,host=short used_percent=50 {now_s - 300 * n}" for n in range(5)]
    lines += [f"mem,host=constant used_percent=50 {now_s - 300 * n}" for n in range(2016)]
    lines += [f"service,host=empty up=t {now_s - 300 * n}" for n in range(2016)]
    gateway.write(lines, precision="s")
    forecaster = Forecaster(folder, gateway, HEADROOM_TRAIN_ON_START="false", HEADROOM_DISCOVERY_INTERVAL_S=2)
    with bench.step("a host with a good history is trained beside poor ones"):
        fleet.wait_for_hosts(forecaster, [HOST, "short", "constant"])
        fleet.train(forecaster, [HOST])
    return forecaster


def unknown(forecaster):
    good = f"/api/v1/hosts/{HOST}/forecasts"
    cases = [
        ("/api/v1/hosts/nobody/forecasts", {}, 404, "nobody"),
        (good, {"target": "cpu.nothing"}, 404, "cpu.nothing"),
        (good, {"horizon": 97}, 400, "96"),
        (good, {"horizon": 0}, 400, "horizon"),
        (good, {"horizon": "x"}, 400, "parameter"),
        (good, {"step": 7}, 400, "step"),
        ("/api/v1/jobs/nothing", {}, 404, "nothing"),
        ("/api/v1/nothing", {}, 404, ""),
    ]
    for path, parameters, status, said in cases:
        answer = web.get(f"{forecaster.url}{path}", **parameters)
        expect(answer.status == status and said in answer.text(), f"{path} {parameters}: {status} is right; {answer}")
        expect("problem+json" in answer.headers["Content-Type"], f"{path}: {answer.headers['Content-Type']}")
    for body, status in (({"hosts": ["nobody"]}, 404), ({"host": []}, 400), ("{", 400)):
        answer = web.call("POST", f"{forecaster.url}/api/v1/retrain", body, {"Content-Type": "application/json"})
        expect(answer.status in (status, 422), f"retrain {body}: {status} is right; {answer}")


def poor_histories(forecaster):
    for host, said in (("short", "at least"), ("constant", None)):
        try:
            fleet.train(forecaster, [host])
        except Failed as error:
            expect(said and said in str(error), f"{host}: {error}")
        else:
            expect(not said, f"{host} was trained on five points")
    flat = fleet.forecasts(forecaster, "constant")[0]
    values = [value for level in flat["quantiles"] for value in level]
    expect(all(abs(value - 50) < 1 for value in values), f"the constant 50 is forecast as {min(values)} to {max(values)}")
    listed = web.get(f"{forecaster.url}/api/v1/hosts/empty/forecasts")
    expect(listed.status in (200, 404), f"a host without targets: {listed}")


def corrupted_model(bench, folder, gateway, forecaster):
    forecaster.stop()
    weights = [path for path in (folder / "forecaster").rglob("*.safetensors") if HOST in str(path)]
    expect(weights, "no weights of the host are in the registry")
    for path in weights:
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(b"\xff" * 64)
    forecaster = bench.start(Forecaster(folder, gateway, HEADROOM_TRAIN_ON_START="false", HEADROOM_DISCOVERY_INTERVAL_S=2))
    fleet.wait_for_hosts(forecaster, ["constant", HOST])
    expect(fleet.forecasts(forecaster, "constant"), "the host beside it is not served")
    answer = web.get(f"{forecaster.url}/api/v1/hosts/{HOST}/forecasts")
    expect(answer.status in (200, 409, 503), f"the host itself: {answer}")
    bench.say(f"the host itself is answered {answer.status} {json.dumps(answer.json())[:160]}")
    log = forecaster.log.read_text()
    expect("panicked" not in log and HOST in log, "the log does not name the host whose model is corrupted")
    fleet.train(forecaster, [HOST])
    expect(fleet.forecasts(forecaster, HOST), "a retrain does not mend it")
    return forecaster


def gateway_away(bench, folder, gateway, forecaster):
    gateway.stop()
    answer = web.get(f"{forecaster.url}/api/v1/hosts/{HOST}/forecasts")
    expect(answer.status in (200, 502, 503), f"a forecast without a gateway: {answer}")
    bench.say(f"a forecast is answered {answer.status} {json.dumps(answer.json())[:160]}")
    expect(web.get(f"{forecaster.url}/health").status == 200, "the forecaster is not alive")
    bench.start(Gateway(folder, gateway.port))
    forecaster.wait_for("forecasts again", lambda: web.get(
        f"{forecaster.url}/api/v1/hosts/{HOST}/forecasts").status == 200, 60)

"""What becomes of a real Telegraf's points when the gateway refuses them, for each output and status.

Each status has a gateway that is made to answer it and a Telegraf that meets it. The cause is mended, and what is there in the
end is counted: what an output sends again must have arrived, and only what it drops of its own accord may be missing.
"""
import signal

from live import web
from live.process import free_port
from live.services import Gateway

from . import peers
from .agent import OUTPUTS, START_S, WAIT_S, Agent, points, wait_stored
from .bench import expect

TITLE = "Telegraf's three outputs, refused with 400, 401, 413, 429 and 503"
ADMIN = "e2e-refused-admin-0123456789abcdef"
WRITER = "e2e-refused-write-0123456789abcdef"
AS_ADMIN = {"Authorization": f"Token {ADMIN}"}
BEFORE = points("good", 200)
BEHIND = points("good", 100, first=200)


def run(bench):
    for check in (lines_refused, token_unknown, body_too_large, rate_exceeded, journal_full):
        check(bench, bench.scratch(check.__name__))


def everywhere(code):
    return dict.fromkeys(OUTPUTS, code)


def lines_refused(bench, folder):
    contract = folder / "contract.toml"
    accepted = 'other_measurements = "refuse"\n[[measurement]]\nname = "good"\n[[measurement]]\nname = "typed"\n'
    contract.write_text(accepted)
    refused, typed = points("refused", 40), points("typed", 10)
    integer = {(("typed", (("host", "web-1"),)), (START_S - 1) * 1_000_000_000): {"gauge": 1}}
    with Gateway(folder, HEADROOM_CONTRACT_FILE=contract) as gateway, Agent(folder, gateway.url) as agent:
        for name in OUTPUTS:
            gateway.write(f"typed,host=web-1 gauge=1i {START_S - 1}", name, precision="s")
        with bench.step("400: every good line of a batch is stored, only the refused ones are missing, and all of those are rejects"):
            agent.report(BEFORE | refused | typed)
            agent.wait_answered(everywhere(400))
            for name in OUTPUTS:
                wait_stored(gateway.url, name, BEFORE | integer, watched=[agent, gateway])
            agent.wait_for("the refused lines are rejects", lambda: kept(gateway) == 50 * len(OUTPUTS), WAIT_S)
        with bench.step("400: behind a mended contract new points arrive, and a replay brings those that it refused"):
            contract.write_text(f'{accepted}[[measurement]]\nname = "refused"\n')
            gateway.signal(signal.SIGHUP)
            gateway.wait_for("the contract is read anew", lambda: accepts(gateway, "refused gauge=1 1"), WAIT_S)
            agent.report(BEHIND)
            for name in OUTPUTS:
                wait_stored(gateway.url, name, BEFORE | BEHIND | integer, watched=[agent, gateway])
            replayed = gateway.call("POST", "/api/v1/rejects/replay").json()
            expect((replayed["accepted"], replayed["refused"]) == (40 * len(OUTPUTS), 10 * len(OUTPUTS)), f"replayed: {replayed}")
            for name in OUTPUTS:
                wait_stored(gateway.url, name, BEFORE | BEHIND | integer | refused)
            bench.say("each output: 300 of 300 good points, 40 of 40 of the contract by the replay, 0 of 10 of another type")


def kept(gateway):
    return gateway.call("GET", "/api/v1/rejects").json()["kept"]


def accepts(gateway, line):
    return gateway.call("POST", "/api/v1/validate", line).json()["verdict"] == "accept"


def token_unknown(bench, folder):
    tokens = folder / "tokens"
    tokens.write_text(f"{ADMIN} admin\n")
    with (Gateway(folder, HEADROOM_TOKENS_FILE=tokens) as gateway,
          Agent(folder, gateway.url, everywhere(WRITER)) as agent):
        with bench.step("401: outputs.influxdb drops what it is answered so for; the others have lost nothing once the token is known"):
            agent.report(BEFORE)
            agent.wait_answered(everywhere(401))
            agent.wait_dropped("influxdb", len(BEFORE))
            tokens.write_text(f"{ADMIN} admin\n{WRITER} write\n")
            gateway.signal(signal.SIGHUP)
            gateway.wait_for("the tokens are read anew", lambda: lets_in(gateway, WRITER), WAIT_S)
            agent.report(BEHIND)
            arrived(bench, gateway, agent, BEFORE | BEHIND, {"influxdb": 0})


def lets_in(gateway, token):
    answer = web.call("POST", f"{gateway.url}/api/v2/write", "", {"Authorization": f"Token {token}"}, bucket="telegraf")
    return answer.status == 204


def body_too_large(bench, folder):
    # A batch of them all does not fit, nor does half of it.
    with Gateway(folder, HEADROOM_MAX_BODY_BYTES="1KiB") as gateway, Agent(folder, gateway.url) as agent:
        with bench.step("413: outputs.influxdb_v2 sends smaller batches and loses nothing; the others drop theirs"):
            agent.report(BEFORE)
            agent.wait_answered(everywhere(413))
            wait_stored(gateway.url, "influxdb_v2", BEFORE, watched=[agent, gateway])
            for name in ("influxdb", "http"):
                agent.wait_dropped(name, len(BEFORE))
            gateway.stop()
            with Gateway(folder, gateway.port) as gateway:
                agent.report(BEHIND)
                arrived(bench, gateway, agent, BEFORE | BEHIND, {"influxdb": len(BEFORE) // 2, "http": len(BEFORE) // 2})


def rate_exceeded(bench, folder):
    tokens = folder / "tokens"
    tokens.write_text(f"{ADMIN} admin\n")
    with Gateway(folder, HEADROOM_TOKENS_FILE=tokens) as gateway:
        made = {name: limited_token(gateway, name) for name in OUTPUTS}
        with Agent(folder, gateway.url, made, batch_size=300) as agent:
            with bench.step("429 (503 on /write): no output has lost anything once the rate is paid"):
                # Two hundred lines may come at once: however these fall into batches, one that is in debt has one behind it.
                many = points("good", 600)
                agent.report(many)
                agent.wait_answered({"influxdb_v2": 429, "influxdb": 503, "http": 429})
                arrived(bench, gateway, agent, many)


def limited_token(gateway, name):
    terms = {"name": name.replace("_", "-"), "scopes": ["write"], "lines_per_s": 20}
    return gateway.call("POST", "/api/v1/tokens", terms, 201, headers=AS_ADMIN).json()["token"]


def journal_full(bench, folder):
    port = free_port()
    settings = {"HEADROOM_INFLUX_URL": f"http://127.0.0.1:{port}", "HEADROOM_JOURNAL_MAX_BYTES": "1MiB"}
    with Gateway(folder, **settings) as gateway, Agent(folder, gateway.url) as agent:
        with bench.step("503: no output has lost anything once InfluxDB is back and the journal has room"):
            filled = fill_journal(gateway)
            agent.report(BEFORE)
            agent.wait_answered(everywhere(503))
            with peers.InfluxDB1(bench.scratch("influxdb"), port) as influx:
                agent.report(BEHIND)
                arrived(bench, influx, agent, BEFORE | BEHIND)
                influx.wait_for("what filled the journal is there", lambda: peers.count(influx.url, "filler", "text") == filled, WAIT_S)


def fill_journal(gateway):
    """Pushes until not even a short line is taken; answers how many were."""
    taken = 0
    for size in (100_000, 10_000, 500):
        while (answer := web.call("POST", f"{gateway.url}/write", f'filler text="{"x" * size}" {taken}', db="telegraf")).status == 204:
            taken += 1
        expect(answer.status == 503, f"a full journal answers {answer}")
    return taken


def arrived(bench, server, agent, reported, dropped=None):
    """Waits until all that was reported is in each output's bucket. An output that is named in `dropped` must have brought
    BEHIND, and as many points of BEFORE at most: a flush may divide these, and a small part be taken."""
    seen = []
    for name in OUTPUTS:
        if name not in (dropped or {}):
            wait_stored(server.url, name, reported, headers=AS_ADMIN, watched=[agent, server])
            seen.append(f"{name}: {len(reported)} of {len(reported)} points")
            continue
        beside = wait_stored(server.url, name, BEHIND, BEFORE, AS_ADMIN, [agent, server])
        expect(beside <= dropped[name], f"outputs.{name} did not drop what it was refused: {beside} of {len(BEFORE)} points are there")
        seen.append(f"{name}: {len(BEHIND) + beside} of {len(reported)} points")
    bench.say("; ".join(seen))

"""A simulated disk fills; a receiver gets exactly one signed alert of it, also over a restart."""
import hashlib
import hmac
import http.server
import json
import threading
import time

from live import fleet
from live.process import wait_until
from live.services import Forecaster, Gateway

from .bench import expect

TITLE = "one true alert"
SECRET = "e2e-webhook-secret"
HOST = "ingest-01"
TARGET = "disk.used_percent{path=/data}"
# Long enough for several rounds of forecasts, each of which would alert again without the cooldown.
QUIET_S = 12
SETTINGS = {"HEADROOM_WEBHOOK_SECRET": SECRET, "HEADROOM_FORECAST_INTERVAL_S": 2, "HEADROOM_TRAIN_ON_START": "false",
            "HEADROOM_DISCOVERY_INTERVAL_S": 2}


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it: headers and body. The first post is answered 503, so that it has to be retried."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.received = []
        self.refused = 0
        self.url = f"http://127.0.0.1:{self.server_port}/alerts"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refused == 0:
            self.server.refused = 1
            self.send_response(503)
        else:
            self.server.received.append((dict(self.headers), body))
            self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def run(bench):
    folder = bench.scratch("alert")
    receiver = bench.start(Receiver())
    gateway = bench.start(Gateway(folder))
    settings = SETTINGS | {"HEADROOM_WEBHOOK_URL": receiver.url}
    # 88 % now and 0.6 % an hour: 90 % is crossed in 3 h 20 min, well within the horizon.
    fill = fleet.simulator(folder, gateway, "fleet", "--hosts", 1, "--profiles", "ingest", "--days", 14, "--no-live",
                           "--scenario", f"{HOST}=disk-fill:level=88,rate=0.6,from=40,peak=96")
    bench.start(fill).wait(120)
    forecaster = bench.start(Forecaster(folder, gateway, **settings))
    with bench.step("the disk's forecast crosses its threshold within the horizon"):
        fleet.wait_for_hosts(forecaster, [HOST])
        fleet.train(forecaster)
        threshold = fleet.forecasts(forecaster, HOST, target=TARGET, horizon=96)[0]["threshold"]
        bench.say(f"{TARGET}: {json.dumps(threshold)}")
        expect(threshold["p_cross"] >= 0.5 and threshold["eta_p50"], f"no likely crossing: {threshold}")
    with bench.step("the receiver gets one alert, signed, though its first answer was 503"):
        about = lambda: [post for post in receiver.received if json.loads(post[1])["metric"] == TARGET]
        wait_until("an alert at the receiver", about, 90, [forecaster])
        time.sleep(QUIET_S)
        expect(len(about()) == 1, f"{len(about())} alerts came for {TARGET}")
        verify(*about()[0])
        bench.say(json.loads(about()[0][1])["message"])
    with bench.step("a restart does not repeat it; /api/v1/alerts lists it as delivered"):
        forecaster.stop()
        forecaster = bench.start(Forecaster(folder, gateway, **settings))
        time.sleep(QUIET_S)
        expect(len(about()) == 1, f"{len(about())} alerts came for {TARGET}")
        alerts = [alert for alert in fleet.listed(forecaster, "alerts") if alert["metric"] == TARGET]
        expect([alert["delivery"] for alert in alerts] == ["delivered"], f"the list has {alerts}")


def verify(headers, body):
    headers = {name.lower(): value for name, value in headers.items()}
    signed = headers["x-headroom-timestamp"].encode() + b"." + body
    wanted = "sha256=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    expect(hmac.compare_digest(headers["x-headroom-signature"], wanted), "the signature is wrong")
    message = json.loads(body)
    expect(message["host"] == HOST and message["threshold"] == 90, f"the message is {message}")

"""Simulated and recorded fleets, and what the forecaster makes of them."""
import time

from . import web
from .process import Failed, Process
from .services import binary

FINAL = ("done", "failed", "cancelled")


def simulator(folder, gateway, *arguments, name="simulator"):
    """Starts the simulator against a gateway."""
    settings = {"HEADROOM_GATEWAY_URL": gateway.url}
    return Process(name, [binary("headroom-simulator"), *arguments], folder / f"{name}.log", settings)


def wait_for_history(gateway, names, timeout_s=120):
    """Waits until a backfill's last points can be read: an InfluxDB behind the gateway gets them a little later."""
    newest = 'SELECT count("load1") FROM "system" WHERE time > now() - 15m GROUP BY "host"'
    gateway.wait_for(f"the newest points of {', '.join(sorted(names))} can be read",
                     lambda: set(names) <= {series["tags"]["host"] for series in gateway.query(newest)}, timeout_s)


def wait_for_hosts(forecaster, names, timeout_s=90):
    """Waits until the forecaster has discovered all of these hosts."""
    def found():
        return set(names) <= {host["host"] for host in listed(forecaster, "hosts")}
    return forecaster.wait_for(f"hosts {', '.join(sorted(names))} discovered", found, timeout_s)


def train(forecaster, hosts=None, timeout_s=600, show=lambda job: None):
    """Has the hosts trained and returns the finished job; a host without a new model is a failure."""
    job = forecaster.retrain(hosts)
    deadline = time.monotonic() + timeout_s
    while True:
        state = forecaster.get(f"/api/v1/jobs/{job}")
        show(state)
        if state["state"] in FINAL:
            break
        if time.monotonic() > deadline or not forecaster.running():
            raise Failed(f"the training had not ended after {timeout_s} s: {state}\n{forecaster.tail()}")
        time.sleep(0.5)
    failed = [f"{host['host']}: {host['error']}" for host in state["hosts"] if host["state"] != "done"]
    if failed or state["state"] != "done":
        raise Failed(f"the training ended as {state['state']}; {'; '.join(failed)}\n{forecaster.tail()}")
    return state


def listed(forecaster, what, **parameters):
    """The list that /api/v1/WHAT answers."""
    answer = forecaster.get(f"/api/v1/{what}", **parameters)
    return answer[what] if isinstance(answer, dict) else answer


def forecasts(forecaster, host, **parameters):
    """The forecasts of a host's targets."""
    answer = forecaster.get(f"/api/v1/hosts/{web.quote(host)}/forecasts", **parameters)
    return answer["forecasts"] if isinstance(answer, dict) else answer

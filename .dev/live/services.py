"""The gateway, the forecaster and the simulator as a user starts them: release binaries, settings by environment."""
import os
import pathlib

from . import web
from .process import Failed, Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60


def binary(name):
    """A program of this workspace: the release build, or what lies in the folder that HEADROOM_BINARIES names."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    path = pathlib.Path(os.environ.get("HEADROOM_BINARIES") or target / "release") / name
    if not path.is_file():
        raise Failed(f"{path} is missing; run `make build`")
    return path


class Service(Process):
    """A service that answers /ready once it has recovered."""

    def __init__(self, name, folder, port, settings):
        self.folder = pathlib.Path(folder)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        environment = {"HEADROOM_LISTEN": f"127.0.0.1:{self.port}", "HEADROOM_DATA_DIR": self.folder / name}
        super().__init__(name, [binary(f"headroom-{name}")], self.folder / f"{name}.log", environment | settings)

    def wait_ready(self):
        self.wait_for(f"{self.name} answers /ready", lambda: web.reachable(f"{self.url}/ready"), START_TIMEOUT_S)


    def call(self, method, path, body=None, status=200, **parameters):
        """The answer to a request; another status, or nobody there, is a failure that shows the log's end."""
        try:
            answer = web.call(method, f"{self.url}{path}", body, **parameters)
        except OSError as error:
            state = "runs" if self.running() else f"has ended with exit code {self.child.returncode}"
            raise Failed(f"{method} {path}: {error}; the {self.name} {state}\n{self.tail()}") from error
        if answer.status != status:
            raise Failed(f"{method} {path} was answered {answer}; {status} was expected")
        return answer


class Gateway(Service):
    """A gateway; without settings on the embedded store."""

    def __init__(self, folder, port=None, **settings):
        super().__init__("gateway", folder, port, settings)
        self.wait_ready()

    def write(self, lines, bucket="telegraf", **parameters):
        """Pushes lines as Telegraf's v2 output does; anything but 204 is a failure."""
        body = lines if isinstance(lines, (str, bytes)) else "\n".join(lines)
        self.call("POST", "/api/v2/write", body, 204, bucket=bucket, org="headroom", **parameters)

    def query(self, statement, database="telegraf", epoch="ns"):
        return query(self.url, statement, database, epoch)


class Forecaster(Service):
    """A forecaster that reads from and writes to `gateway`."""

    def __init__(self, folder, gateway, port=None, **settings):
        super().__init__("forecaster", folder, port, {"HEADROOM_GATEWAY_URL": gateway.url} | settings)
        self.wait_ready()

    def get(self, path, **parameters):
        return self.call("GET", path, **parameters).json()

    def retrain(self, hosts=None):
        """Starts a training job and returns its id."""
        return self.call("POST", "/api/v1/retrain", {"hosts": hosts} if hosts else {}, 202).json()["id"]


def query(url, statement, database="telegraf", epoch="ns", headers=None):
    """The series that one InfluxQL statement answers; an error in the answer is a failure."""
    answer = web.get(f"{url}/query", q=statement, db=database, epoch=epoch, headers=headers)
    if answer.status != 200:
        raise Failed(f"{statement} was answered {answer}")
    result = answer.json()["results"][0]
    if "error" in result:
        raise Failed(f"{statement} was answered {result['error']}")
    return result.get("series", [])

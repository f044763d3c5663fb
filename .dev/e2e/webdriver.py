"""A small client of the W3C WebDriver protocol, which chromedriver speaks: JSON over HTTP."""
import base64
import contextlib

from live import web
from live.process import Failed, Process, free_port

from . import peers

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
# No other connection than to the page: the browser's own services are not to be had on a closed network.
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
             "--no-proxy-server", "--window-size=1280,1400"]


class Driver(Process):
    """chromedriver on a free port."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        chromium = peers.program("chromium")
        super().__init__("chromedriver", [peers.program("chromedriver"), f"--port={self.port}"], folder / "chromedriver.log")
        self.chromium = chromium
        self.wait_for("chromedriver answers", lambda: web.reachable(f"{self.url}/status"), 30)

    @contextlib.contextmanager
    def page(self, url):
        """A browser with the page open, closed in the end."""
        options = {"binary": self.chromium, "args": [*ARGUMENTS, f"--user-data-dir={self.folder / 'profile'}"]}
        session = self.command("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
        page = Page(self, f"/session/{session['sessionId']}")
        try:
            page.command("POST", "/url", {"url": url})
            yield page
        finally:
            page.command("DELETE", "")

    def command(self, method, path, body=None):
        answer = web.call(method, f"{self.url}{path}", body)
        if answer.status != 200:
            raise Failed(f"WebDriver {method} {path} was answered {answer.json()['value'].get('message', answer)}")
        return answer.json()["value"]


class Page:
    """A page in the browser."""

    def __init__(self, driver, session):
        self.driver = driver
        self.session = session

    def command(self, method, path, body=None):
        return self.driver.command(method, self.session + path, body)

    def find(self, selector):
        """The elements of a CSS selector."""
        found = self.command("POST", "/elements", {"using": "css selector", "value": selector})
        return [element[ELEMENT] for element in found]

    def click(self, element):
        self.command("POST", f"/element/{element}/click", {})

    def fill(self, element, text):
        self.command("POST", f"/element/{element}/clear", {})
        self.command("POST", f"/element/{element}/value", {"text": text})

    def text(self, selector):
        return "\n".join(self.command("GET", f"/element/{element}/text") for element in self.find(selector))

    def run(self, script, *arguments):
        """What a script in the page returns."""
        return self.command("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def console_errors(self):
        entries = self.command("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.command("GET", "/screenshot")))

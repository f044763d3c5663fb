"""HTTP as a client sees it: every status is an answer, only a missing connection is not."""
import json
import urllib.error
import urllib.parse
import urllib.request
from urllib.parse import quote  # for paths


class Answer:
    """A status, headers and a body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return json.loads(self.body)

    def __str__(self):
        return f"{self.status} {self.text()[:600]}"


def call(method, url, body=None, headers=None, timeout_s=60, **parameters):
    """Sends one request; a dict or list as the body goes as JSON. No proxy is asked."""
    if parameters:
        url = f"{url}?{urllib.parse.urlencode(parameters)}"
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    if isinstance(body, str):
        body = body.encode()
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout_s) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def get(url, **parameters):
    return call("GET", url, **parameters)


def reachable(url):
    """The answer's being a success; False while nobody listens."""
    try:
        return 200 <= get(url, timeout_s=5).status < 300
    except OSError:
        return False

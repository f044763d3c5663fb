"""Pushes batches and measures queries."""
import concurrent.futures
import http.client
import json
import statistics
import subprocess
import sys
import time
import urllib.parse

CONNECTIONS = 4
RUNS = 15


def push(server, batches):
    """Pushes all batches over a few connections; answers lines, values, and the seconds until the last answer."""
    pending = iter(batches)

    def work(_):
        connection = http.client.HTTPConnection(server.address, timeout=120)
        lines = values = 0
        while True:
            # Generators are shared under the interpreter's lock, one step at a time.
            batch = server.next_of(pending)
            if batch is None:
                return lines, values
            body, more_lines, more_values = batch
            status, text = post(connection, "/write?db=telegraf", body)
            if status != 204:
                sys.exit(f"bench: {server.url} answered {status}: {text[:300]!r}")
            lines += more_lines
            values += more_values

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        counts = list(pool.map(work, range(CONNECTIONS)))
    seconds = time.perf_counter() - started
    return sum(lines for lines, _ in counts), sum(values for _, values in counts), seconds


def post(connection, path, body):
    """Posts once more where the server has closed a connection that was idle while a batch was drawn."""
    for attempt in range(2):
        try:
            connection.request("POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionError:
            connection.close()
            if attempt:
                raise
    return None


def stream(server, parameters):
    """Reads an answer as it comes; answers the milliseconds to its first byte, and its size in MB."""
    connection = http.client.HTTPConnection(server.address, timeout=120)
    started = time.perf_counter()
    connection.request("GET", "/query?" + urllib.parse.urlencode(parameters))
    answer = connection.getresponse()
    size = len(answer.read(1))
    first_ms = (time.perf_counter() - started) * 1000
    while part := answer.read(1 << 16):
        size += len(part)
    return first_ms, size / 1e6


def median_ms(server, parameters):
    """The median of some runs of a query that must answer rows."""
    connection = http.client.HTTPConnection(server.address, timeout=120)
    path = "/query?" + urllib.parse.urlencode(parameters)
    took = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        connection.request("GET", path)
        text = connection.getresponse().read()
        took.append((time.perf_counter() - started) * 1000)
    if not json.loads(text)["results"][0].get("series"):
        sys.exit(f"bench: {server.url} answered no rows to {parameters['q']}: {text[:300]!r}")
    return statistics.median(took[1:])


def promql_ms(server, path, parameters):
    """The median of some runs of a query of VictoriaMetrics, which must answer rows, and from its points: it keeps answers."""
    connection = http.client.HTTPConnection(server.address, timeout=120)
    path = f"{path}?{urllib.parse.urlencode(parameters | {'nocache': 1})}"
    took = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        connection.request("GET", path)
        text = connection.getresponse().read()
        took.append((time.perf_counter() - started) * 1000)
    data = json.loads(text)["data"]
    if not (data if isinstance(data, list) else data["result"]):
        sys.exit(f"bench: {server.url} answered nothing to {path}: {text[:300]!r}")
    return statistics.median(took[1:])


def dashboard_ms(program, url):
    """The medians that latency.py measures: their sum, and their median."""
    run = subprocess.run([sys.executable, program, url, "--json"], check=True, capture_output=True, text=True)
    rows = json.loads(run.stdout)
    medians = [row["median_ms"] for row in rows]
    return sum(medians), statistics.median(medians)

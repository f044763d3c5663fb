"""Chromium opens Swagger UI, tries an operation from the page, and keeps a picture of it."""
from live import fleet
from live.process import wait_until
from live.services import Forecaster, Gateway

from .bench import expect
from .webdriver import Driver

TITLE = "Chromium on Swagger UI"


def run(bench):
    folder = bench.scratch("browser")
    gateway = bench.start(Gateway(folder))
    bench.start(fleet.simulator(folder, gateway, "fleet", "--hosts", 1, "--days", 3, "--no-live")).wait(60)
    forecaster = bench.start(Forecaster(folder, gateway, HEADROOM_TRAIN_ON_START="false", HEADROOM_DISCOVERY_INTERVAL_S=2))
    fleet.wait_for_hosts(forecaster, ["web-01"])
    driver = bench.start(Driver(folder))
    for service, path in ((forecaster, "/api/v1/hosts"), (gateway, "/health")):
        with bench.step(f"{service.name}: GET {path} is tried from /docs and answered 200"), driver.page(f"{service.url}/docs") as page:
            body = try_operation(page, path)
            page.screenshot(bench.artefacts / f"{service.name}-swagger.png")
            expect(path != "/api/v1/hosts" or "web-01" in body, f"the answer on the page is {body[:300]}")
            errors = page.console_errors()
            expect(not errors, f"the browser's console says {errors[:3]}")


def try_operation(page, path):
    """Unfolds GET `path`, tries it out, and returns the body that the page shows of a 200."""
    wait_until("Swagger UI lists its operations", lambda: page.find("div.opblock.opblock-get"), 30)
    blocks = dict(page.run("return [...document.querySelectorAll('div.opblock.opblock-get')].map(block => "
                           "[block.querySelector('.opblock-summary-path').dataset.path, block.id])"))
    expect(path in blocks, f"GET {path} is not among {list(blocks)}")
    block = f"[id='{blocks[path]}']"
    page.run("document.querySelector(arguments[0]).scrollIntoView()", block)
    page.click(page.find(f"{block} .opblock-summary-control")[0])
    page.click(wait_until("the button Try it out", lambda: page.find(f"{block} .try-out__btn"), 10)[0])
    page.click(wait_until("the button Execute", lambda: page.find(f"{block} .execute"), 10)[0])
    answer = f"{block} .live-responses-table .response"
    status = wait_until("an answer on the page", lambda: page.text(f"{answer} .response-col_status"), 15)
    expect("200" in status, f"the page shows {status!r}")
    return page.text(f"{answer} .response-col_description")

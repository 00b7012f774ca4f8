"""Pages opened in a real browser, with all that they say and ask for on the way."""

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Heard:
    """What a page said and asked for."""

    errors: list = field(default_factory=list)
    requests: list = field(default_factory=list)


@contextmanager
def browser():
    """A headless browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed: `make browser` as root")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


def opened(running, file, width=1280, height=900, scheme="light", **options):
    """A page with what it said and asked for since it was opened."""
    context = running.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
    page, heard = context.new_page(), Heard()
    page.on("console", lambda said: heard.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard.errors.append(str(error)))
    page.on("request", lambda request: heard.requests.append(request.url))
    page.goto(file.as_uri())
    return page, heard

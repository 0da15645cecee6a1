"""A real Chromium without a window, which draws WebGL on the processor."""

import shutil
from contextlib import contextmanager

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@contextmanager
def open_page(port: int, address: str = "", width: int = 1280, height: int = 800, dark: bool = False):
    """The explorer's page; what goes wrong in it is in `page.wrong`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )  # fmt: skip
        page = context.new_page()
        page.wrong = []
        page.asked = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(f"http://localhost:{port}/{address}")
        try:
            yield page
        finally:
            browser.close()

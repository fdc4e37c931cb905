"""JupyterLab and Voilà in a headless Chromium, on the drawn sample."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlparse

import pytest
from PIL import Image

from caltech_lab.cli.demo import voila
from tests.browsing import TOKEN
from tools import series

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A folder to write screenshots to; `make screenshots` names notebooks/images.
SCREENSHOTS = bool(os.environ.get("SCREENSHOTS"))
ROOT = Path(__file__).parents[2]
IMAGES, BUILT = ROOT / "notebooks" / "images", ROOT / "build" / "screenshots"


@pytest.fixture(scope="session")
def chromium():
    """Return a headless Chromium; skip where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("There is no Chromium here: install one, for example Debian's `chromium`.")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not here: pip install 'caltech-lab[browser]'."
    )
    with sync_api.sync_playwright() as playwright:
        # Continuous integration runs as root, which Chromium's sandbox does not allow; only our own
        # pages are opened.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """Return a page, 1280 pixels wide, that reaches no other machine and has no errors."""
    page = chromium.new_page(viewport={"width": 1280, "height": 1400})
    elsewhere, errors = [], []

    def only_here(route) -> None:
        if urlparse(route.request.url).hostname in (None, "127.0.0.1"):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    page.route("**/*", only_here)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []
    # JupyterLab looks for its own news and extensions; the demo's page looks for nothing.
    assert [url for url in elsewhere if "jupyter" not in url] == []


@pytest.fixture(scope="session")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with copies of the notebooks, which a person may save."""
    folder = tmp_path_factory.mktemp("notebooks")
    for path in series.notebooks():
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def lab_address(notebooks: Path) -> Iterator[str]:
    """Start JupyterLab, and return its address."""
    arguments = ["jupyterlab", "--allow-root", f"--IdentityProvider.token={TOKEN}"]
    # The tests change the theme, and not that of whoever runs them.
    settings = {"JUPYTERLAB_SETTINGS_DIR": str(notebooks.parent / "settings")}
    yield from _serve([*arguments, f"--ServerApp.root_dir={notebooks}"], notebooks, settings)


@pytest.fixture(scope="session")
def serve_demo(tmp_path_factory: pytest.TempPathFactory):
    """Give a way to start Voilà on the demo as `make demo` does; it returns the address."""
    with ExitStack() as stack:

        def serve(dataset: str) -> str:
            (_, *arguments), environment = voila()
            environment["CALTECH_LAB_DATASET"] = dataset
            server = contextmanager(_serve)
            log = tmp_path_factory.mktemp("voila")
            return stack.enter_context(server(arguments[1:], log, environment))

        yield serve


def _serve(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str] = {},  # noqa: B006
) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    here = os.environ | {"CALTECH_LAB_DATASET": "drawn", "JUPYTER_PREFER_ENV_PATH": "1"}
    log = folder / f"{arguments[0]}.log"
    with open(log, "w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *arguments, f"--port={port}", "--no-browser"],
            cwd=folder, env=here | environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        for _ in range(240):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.5)
        else:
            pytest.fail(f"{arguments[0]} did not start: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def shoot() -> Callable[..., None]:
    """Write a screenshot, if asked to: in place of a notebook's picture, or to `build/`."""

    def write(target, name: str) -> None:
        if SCREENSHOTS:
            shown = IMAGES / f"{name}.webp"  # a fifth of a PNG's bytes
            path = shown if shown.is_file() else BUILT / shown.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(io.BytesIO(target.screenshot())) as picture:
                picture.convert("RGB").save(path, quality=85, method=6)

    return write

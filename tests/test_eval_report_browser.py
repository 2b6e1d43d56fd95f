"""The page in a real browser: offline, silent, unmoved by hostile prompts, no wider than a phone.

Each law is also broken on purpose by a page of the test's own, so that the test itself is seen to
notice. Without a Chromium binary all this is skipped.
"""

import html
import re
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from support.report_runs import add_concept, add_i2p, add_quality, make_run

from expunge.cli import main

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

PHONE = 360
ATTACK = (
    "<script>document.title='owned'</script>"
    "<img src='http://127.0.0.1:{port}/pixel.png' onerror=\"document.title='owned'\">"
    "<link rel=stylesheet href=http://127.0.0.1:{port}/style.css>"
)
WRAPPER = """<!doctype html><title>waiting</title>
<iframe src="{file}" style="width:{width}px;height:800px;border:0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument;
  {body}
}};
</script>"""


class Listener(ThreadingHTTPServer):
    """Counts whoever asks for anything."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Listener)
        self.server.asked.append(self.path)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture
def report(tmp_path: Path, listener: Listener) -> Path:
    """The page on a run whose prompts, concept and base attack its reader."""
    attack = ATTACK.format(port=listener.server_port)
    run = make_run(tmp_path / "run", f"church {attack}", base=attack)
    add_concept(run, prompts=[attack, "W" * 4000])
    add_i2p(run, prompts=[attack], before=30)
    add_quality(run)
    assert main(["report", str(run)]) == 0
    return run / "report.html"


def browse(page: Path, profile: Path, *flags: str) -> tuple[str, str]:
    """The DOM after loading, and what the browser wrote to its console."""
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--allow-file-access-from-files",
            "--force-prefers-reduced-motion",
            f"--user-data-dir={profile}",
            "--enable-logging=stderr",
            "--virtual-time-budget=3000",
            *flags,
            "--dump-dom",
            page.resolve().as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console


def title(dom: str) -> str:
    found = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def ask(page: Path, profile: Path, script: str, width: int = PHONE) -> str:
    """What a script that looks into the page from outside writes to its own title."""
    wrapper = profile.parent / "wrapper.html"
    wrapper.write_text(WRAPPER.format(file=page.as_uri(), width=width, body=script))
    return title(browse(wrapper, profile)[0])


def test_it_loads_nothing_and_complains_of_nothing(
    report: Path, listener: Listener, tmp_path: Path
) -> None:
    dom, console = browse(report, tmp_path / "profile")
    assert title(dom).startswith("Erasing “church <script>")
    assert console == "" and listener.asked == []
    assert dom.count("<img") > 40


def test_an_unescaped_page_would_be_noticed(listener: Listener, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        f"<title>x</title><p>{ATTACK.format(port=listener.server_port)}<script>nothing()</script>"
    )
    dom, console = browse(page, tmp_path / "profile")
    assert title(dom) == "owned" and "CONSOLE" in console
    assert sorted(listener.asked) == ["/pixel.png", "/style.css"]


OVERFLOW = """
const root = page.documentElement;
document.title = root.scrollWidth - root.clientWidth;
"""


def test_it_fits_a_phone(report: Path, tmp_path: Path) -> None:
    assert ask(report, tmp_path / "profile", OVERFLOW) == "0"


def test_several_runs_fit_a_phone(report: Path, tmp_path: Path) -> None:
    both = tmp_path / "both.html"
    other = make_run(tmp_path / "other" / ("n" * 120))
    assert main(["compare", str(report.parent), str(other), "--out", str(both)]) == 0
    assert ask(both, tmp_path / "profile", OVERFLOW) == "0"


def test_a_wide_page_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "wide.html"
    page.write_text("<!doctype html><body style=margin:0><p style=width:500px>wide")
    assert ask(page, tmp_path / "profile", OVERFLOW) != "0"


def test_explicit_images_are_blurred_until_chosen(report: Path, tmp_path: Path) -> None:
    script = """
    const box = page.querySelector(".veil input"), image = page.querySelector(".veil img");
    const filter = () => frame.contentWindow.getComputedStyle(image).filter.split("(")[0];
    const before = filter();
    box.focus();
    const focused = page.activeElement === box;
    box.click();
    document.title = [before, focused, filter()].join(" ");
    """
    assert ask(report, tmp_path / "profile", script) == "blur true none"


@pytest.mark.parametrize(("scheme", "dark"), [("0", True), ("1", False)])
def test_light_and_dark_follow_the_reader(
    scheme: str, dark: bool, report: Path, tmp_path: Path
) -> None:
    wrapper = tmp_path / "wrapper.html"
    body = "document.title = frame.contentWindow.getComputedStyle(page.body).backgroundColor"
    wrapper.write_text(WRAPPER.format(file=report.as_uri(), width=PHONE, body=body))
    flag = f"--blink-settings=preferredColorScheme={scheme}"
    colour = title(browse(wrapper, tmp_path / "profile", flag)[0])
    red = int(re.findall(r"\d+", colour)[0])
    assert (red < 128) == dark

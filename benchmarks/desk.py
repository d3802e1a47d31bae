"""How fast the desk is in headless Chromium at 1366x768: to a readable sheet, a drawing, the next recording on a key.

    python benchmarks/desk.py [--recordings 24] [--repeats 12]

Starts PostgreSQL, Valkey and gunicorn of its own in a temporary folder, simulates and imports recordings of 12 leads,
10 s, 500 Hz, opens a round and reads them with the keyboard. Beside it stand the same samples as twelve subplots, the
usual way with Plotly, in the same page. Medians in milliseconds; "painted" counts until the frame after the drawing.
The browser draws in software on the processors that the server runs on. ECGFM_CHROMIUM names another browser.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import claims
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

SIZE = {"width": 1366, "height": 768}
BROWSER = os.environ.get("ECGFM_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
WAIT_MS = 20_000
PAINTED = "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()), 0)))"
# The browser's own clock of a key: from the press to the frame that shows what it did, in steps of 8 ms.
WATCH = """
  window.keyTimes = [];
  new PerformanceObserver((list) => {
    for (const { name, duration } of list.getEntries()) if (name === "keydown") window.keyTimes.push(duration);
  }).observe({ type: "event", durationThreshold: 16 });
"""
DRAWN = "window.ecgfmDesk?.viewer.sheet.drawMs > 0"
REDRAW = f"""async () => {{
  const {{ sheet }} = window.ecgfmDesk.viewer;
  const started = performance.now();
  sheet.draw();
  return [sheet.drawMs, (await {PAINTED}) - started];
}}"""
SUBPLOTS = f"""async () => {{
  const {{ sheet }} = window.ecgfmDesk.viewer;
  const rate = sheet.recording.sampling_rate_hz;
  const box = document.createElement("div");
  const size = {{ width: 1022, height: 652 }};
  Object.assign(box.style, {{ position: "fixed", inset: "0 auto auto 0", zIndex: 99 }});
  document.body.append(box);
  const traces = [];
  const layout = {{ ...size, showlegend: false, grid: {{ rows: 12, columns: 1, pattern: "independent" }} }};
  [...sheet.leads].forEach(([lead, mv], i) => {{
    const n = i ? i + 1 : "";
    const x = Float64Array.from(mv, (_, k) => k / rate);
    traces.push({{ x, y: mv, mode: "lines", name: lead, xaxis: `x${{n}}`, yaxis: `y${{n}}` }});
    layout[`xaxis${{n}}`] = {{ dtick: 0.2 }};
    layout[`yaxis${{n}}`] = {{ title: {{ text: lead }}, dtick: 0.5 }};
  }});
  const started = performance.now();
  await Plotly.newPlot(box, traces, layout, {{ displayModeBar: false }});
  const drawn = performance.now() - started;
  const painted = (await {PAINTED}) - started;
  Plotly.purge(box);
  box.remove();
  return [drawn, painted];
}}"""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, what comes with it as a baseline, what is aimed at."""

    name: str
    value: float
    unit: str
    aim: float | None = None
    beside: float | None = None
    note: str = ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=12)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="ecgfm-desk-"))
    home.chmod(0o711)
    try:
        rows = run(home, recordings=options.recordings, repeats=options.repeats)
    finally:
        from launcher.services import stop_services

        stop_services(home)
        shutil.rmtree(home, ignore_errors=True)
    print(f"{'':<44}{'measured':>10}      {'aim':>7}{'12 subplots':>13}{'ratio':>7}")
    for row in rows:
        aim = "" if row.aim is None else f"{row.aim:,.0f}"
        beside = "" if row.beside is None else f"{row.beside:,.0f}"
        ratio = "" if row.beside is None else f"{row.beside / row.value:.1f}"
        print(f"{row.name:<44}{row.value:>10,.0f} {row.unit:<5}{aim:>7}{beside:>13}{ratio:>7}  {row.note}".rstrip())


def run(home: Path, *, recordings: int, repeats: int) -> list[Row]:
    """Start everything in an empty folder, measure, stop the server."""
    if BROWSER is None:
        sys.exit("No chromium was found. Install one (Debian: apt-get install chromium) or name it in ECGFM_CHROMIUM.")
    claims.prepare(home)
    fill(home, recordings)
    cookie = claims.sessions(1)[0]
    port = claims.free_port()
    server = claims.start_server(port, home)
    try:
        claims.wait_for(port)
        return in_browser(f"http://127.0.0.1:{port}", cookie, repeats)
    finally:
        server.terminate()
        server.wait(20)


def fill(home: Path, count: int) -> None:
    """Simulate and import recordings and open a round over them that needs one read each."""
    from django.core.management import call_command

    from annotator.models import Dataset, Recording, User
    from annotator.services import rounds
    from ecgfm_core.active.selection import Chosen
    from ecgfm_core.datasets.simulated import write_dataset

    write_dataset(home / "simulated", count, seed=7)
    with Path(os.devnull).open("w") as quiet:
        call_command("import_recordings", str(home / "simulated"), dataset="simulated", stdout=quiet)
    boss = User.objects.create_user("boss", role="admin")
    made = rounds.create_round(
        dataset_ids=[Dataset.objects.get().pk], strategy="random", budget=count, audit_share=0, readers_per_item=1,
        reveal="never", checkpoint=None, seed=1, by=boss,
    )  # fmt: skip
    rounds.request_fill(round=made, by=boss)
    chosen = [
        Chosen(pk, rank, "strategy", "") for rank, pk in enumerate(Recording.objects.values_list("pk", flat=True))
    ]
    rounds.fill(round=made, chosen=chosen)
    rounds.open_round(round=made, by=boss)


def in_browser(address: str, cookie: str, repeats: int) -> list[Row]:
    """Measure the pages of one reader."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        cold_ms, cold_bytes = zip(*(cold_start(browser, address, cookie) for _ in range(3)), strict=True)
        page = open_desk(signed_in(browser, address, cookie), address)
        page.wait_for_timeout(1000)
        first_ms = page.evaluate("window.ecgfmDesk.viewer.sheet.drawMs")
        drawn = [page.evaluate(REDRAW) for _ in range(repeats)]
        beside = [page.evaluate(SUBPLOTS) for _ in range(max(3, repeats // 3))]
        following = [next_recording(page) for _ in range(repeats)]
        browser.close()
    draw_ms, painted_ms = map(statistics.median, zip(*drawn, strict=True))
    plots_ms, plots_painted_ms = map(statistics.median, zip(*beside, strict=True))
    new_ms, next_ms = map(statistics.median, zip(*following, strict=True))
    worst = max(ms for _, ms in following)
    return [
        Row("cold page to a readable sheet", statistics.median(cold_ms), "ms", 1500),
        Row("bytes for it", statistics.median(cold_bytes) / 1000, "kB"),
        Row("the page's first drawing", first_ms, "ms"),
        Row("sheet draw, another recording", new_ms, "ms", 80, plots_ms),
        Row("sheet draw, the same again", draw_ms, "ms", 80, plots_ms),
        Row("sheet draw until painted", painted_ms, "ms", None, plots_painted_ms),
        Row("key to the next recording on the screen", next_ms, "ms", 100, None, f"worst of {repeats}: {worst:.0f}"),
    ]


def signed_in(browser: Browser, address: str, cookie: str) -> BrowserContext:
    """Give a browser profile of its own, with an empty cache and a session."""
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(WATCH)
    pairs = (pair.split("=", 1) for pair in cookie.split("; "))
    context.add_cookies([{"name": name, "value": value, "url": address} for name, value in pairs])
    return context


def open_desk(context: BrowserContext, address: str) -> Page:
    """Open the desk and wait for the sheet."""
    page = context.new_page()
    page.goto(f"{address}/desk")
    wait(page, DRAWN)
    return page


def wait(page: Page, expression: str) -> Any:
    """Wait inside of the page until an expression holds and is painted; give the time of the page's clock."""
    return page.evaluate(f"""async () => {{
      while (!({expression})) await new Promise((go) => setTimeout(go, 2));
      return await {PAINTED};
    }}""")


def cold_start(browser: Browser, address: str, cookie: str) -> tuple[float, float]:
    """Open the desk with an empty cache; give milliseconds from navigation to the painted sheet, and bytes sent."""
    context = signed_in(browser, address, cookie)
    page = context.new_page()
    page.goto(f"{address}/desk", wait_until="commit")
    ready_ms = wait(page, DRAWN)
    sent = page.evaluate(
        "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]"
        ".reduce((sum, entry) => sum + entry.transferSize, 0)"
    )
    context.close()
    return ready_ms, sent


def next_recording(page: Page) -> list[float]:
    """Answer "normal" and go on; give the drawing and the time from the key to the painted next recording, in ms."""
    wait(page, "window.ecgfmDesk.queue.items.length > 1")
    page.wait_for_timeout(1500)  # a reader looks at least so long
    page.keyboard.press("n")
    page.wait_for_timeout(300)
    before = page.evaluate("[window.keyTimes.length = 0, window.ecgfmDesk.item.recording.id][1]")
    page.keyboard.press("Control+Enter")
    wait(page, f"window.ecgfmDesk.viewer.sheet.recording.id !== {before} && window.keyTimes.length > 0")
    return page.evaluate("[window.ecgfmDesk.viewer.sheet.drawMs, Math.max(...window.keyTimes)]")


if __name__ == "__main__":
    main()

"""Run `pip install ARGUMENTS` in the environment this runs in, behind one progress bar.

pip's own lines go to install.log in the environment; where it fails, the last of them are shown. Needs nothing but the
standard library, for it runs before anything is installed.
"""

import re
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

BAR_WIDTH = 30
LINES_SHOWN = 15
COLLECTING_SHARE = 0.5  # of the bar: finding and fetching packages; the rest is unpacking them
LOG = Path(sys.prefix) / "install.log"


def main() -> int:
    """Install; return pip's exit status."""
    # Byte code is written when a module is first imported: compiling all of torch now would double the time.
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile", *sys.argv[1:]]
    expected = sum("==" in line for line in Path("constraints.txt").read_text().splitlines())
    before, started, lines = installed_count(), time.monotonic(), list[str]()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or []), daemon=True)
        reader.start()
        while process.poll() is None:
            draw(share_done(list(lines), expected, installed_count() - before), started)
            time.sleep(0.3)
        reader.join()
    LOG.write_text("".join(lines))
    if process.returncode:
        last = "".join(lines[-LINES_SHOWN:])
        failed = f"\npip failed with status {process.returncode}; all it said is in {LOG}, at last:"
        print(failed, last, sep="\n", file=sys.stderr)
    else:
        draw(1.0, started)
        print(f"Installed in {time.monotonic() - started:.0f} s")
    return process.returncode


def installed_count() -> int:
    """Return how many packages the environment holds."""
    return sum(1 for _ in Path(sysconfig.get_path("purelib")).glob("*.dist-info"))


def share_done(lines: list[str], expected: int, installed: int) -> float:
    """Return how much of the work is done, 0 to 1, from what pip has said and what lies in the environment."""
    collected = sum(line.startswith("Collecting ") for line in lines)
    chosen = next((line for line in lines if line.startswith("Installing collected packages:")), "")
    if not chosen:
        return COLLECTING_SHARE * min(1.0, collected / max(1, expected))
    return COLLECTING_SHARE + (1 - COLLECTING_SHARE) * min(1.0, installed / len(re.findall(r",", chosen + ",")))


def draw(share: float, started: float) -> None:
    """Draw the bar, on a terminal only."""
    if sys.stderr.isatty():
        filled = round(share * BAR_WIDTH)
        bar = f"{share:4.0%} |{'█' * filled}{' ' * (BAR_WIDTH - filled)}| {time.monotonic() - started:.0f} s"
        print(f"\rInstalling  {bar}", end="\n" if share == 1 else "", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Progress: shown where somebody looks, and gone in the end."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import nbformat
from nbclient import NotebookClient

from helpers.batch import kernels

WORK = """
import time
from helpers.core import progress
progress.AFTER = 0.05
with progress.progress("sessions", "day", 4) as bar:
    for _ in range(4):
        time.sleep(0.2)
        bar.update()
with progress.progress("Bouncers: waiting for Mavera"):
    time.sleep(0.3)
"""


class Heard(NotebookClient):
    """A client that remembers what the cell showed in between."""

    def process_message(self, msg, cell, cell_index):
        self.texts = [*getattr(self, "texts", []), msg["content"].get("text", "")]
        return super().process_message(msg, cell, cell_index)


def run_in_a_kernel(first: str = "") -> tuple[str, list]:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(first + WORK)])
    with kernels.start_kernels([""]) as ready:
        client = Heard(made, km=next(ready))
        client.execute()
    return "".join(client.texts), made.cells[0].outputs


def test_in_jupyterlab_it_is_seen_and_leaves_the_cell_empty():
    seen, left = run_in_a_kernel("import os\nos.environ['JPY_SESSION_NAME'] = 'x.ipynb'\n")
    assert "sessions:" in seen and "4/4" in seen
    assert "Bouncers: waiting for Mavera …" in seen
    assert left == []


def test_on_a_terminal_the_line_is_blank_in_the_end():
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    child = subprocess.Popen([sys.executable, "-c", WORK], stdin=end, stdout=end, stderr=end)
    os.close(end)
    read = b""
    with contextlib.suppress(OSError):  # its end
        while piece := os.read(terminal, 4096):
            read += piece
    os.close(terminal)
    assert child.wait() == 0
    text = read.decode()
    assert "sessions:" in text and "waiting for Mavera" in text and "\n" not in text
    assert text.split("\r")[-1] == "" and text.split("\r")[-2].strip() == ""

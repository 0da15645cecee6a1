"""Tables in every format, and what a screen shows of them."""

import subprocess
import sys

import pytest

from rtf.documents import Section, Table, page_markdown, to_html, to_markdown

TABLE = Table("Errors", ("group", "|Δmag| [mag]"), (("[b]SN Ia[/b]", "0.1 – <i>"),), ("100 % [note]",))


def test_markdown_escapes_its_own_marks():
    lines = to_markdown(TABLE).splitlines()
    assert lines[2] == r"| group | \|Δmag\| [mag] |" and lines[4] == "| [b]SN Ia[/b] | 0.1 – <i> |"
    page = page_markdown("Report", [Section("Data", ("text",), {"errors": TABLE}, {"a/b.png": "caption"})])
    assert "# Report" in page and "## Data\n\ntext" in page and "![caption](a/b.png)" in page


def test_html_shows_text_and_holds_its_figures(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.png").write_bytes(b"\x89PNG")
    page = to_html("Report", [Section("Data", (), {"errors": TABLE}, {"a/b.png": "caption"})], tmp_path)
    assert "0.1 – &lt;i&gt;" in page and "<h3 id='errors'>" in page and "#figure-b" in page
    assert "data:image/png;base64,iVBORw==" in page


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_screen_without_greek_gets_replacements_and_brackets_are_text(encoding):
    code = (
        "import sys; sys.stdout.reconfigure(errors='replace'); "  # as every command does
        "from rtf.console import say; from rtf.documents import Table, to_rich; "
        f"say(to_rich({TABLE!r}), 'figure: run [x]/Δ.png', 'after')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True,
        env={"PATH": "", "PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip
    printed = done.stdout.decode(encoding)
    delta = "Δ" if encoding == "utf-8" else "?"
    assert f"figure: run [x]/{delta}.png" in printed and "[b]SN Ia[/b]" in printed
    assert "100 % [note]" in printed and printed.rstrip().endswith("after")

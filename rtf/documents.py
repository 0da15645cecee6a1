"""Tables and sections as Markdown, CSV, LaTeX, HTML and on a terminal: the one place that formats them.

Notable:
- a `Table` is text already; how it is shown is a separate step
- LaTeX needs the packages booktabs and graphicx; intervals are set as journals do, above and below the value
- the HTML page needs no network and nothing beside it; it follows the reader's light or dark screen
"""

import base64
import csv
import html
import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from rtf.files import whole

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%",
    "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}",
    "<": r"\textless{}", ">": r"\textgreater{}", '"': r"\char34{}", "[": "{[}", "]": "{]}",
    "Δ": r"$\Delta$", "±": r"$\pm$", "×": r"$\times$", "√": r"$\surd$", "²": r"$^2$", "·": r"$\cdot$",
    "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "—": "---", "†": r"$\dagger$", "…": r"\ldots{}",
    "\n": " ", "\t": " ",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()  # lines below it


@dataclass(frozen=True)
class Section:
    """A part of a page: paragraphs, tables by name, and captions of figures by path from the page."""

    title: str
    text: Sequence[str] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)


def to_markdown(table: Table) -> str:
    """GitHub Markdown: title, table, notes; numbers are right-aligned."""

    def line(cells):
        return "| " + " | ".join(" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells) + " |"

    parts = [f"**{table.title}**", ""] if table.title else []
    parts += [line(table.columns), "| --- |" + " ---: |" * (len(table.columns) - 1)]
    parts += [line(row) for row in table.rows]
    if table.notes:
        parts += ["", "  \n".join(table.notes)]
    return "\n".join(parts) + "\n"


def page_markdown(title: str, sections: Sequence[Section]) -> str:
    """A whole page as Markdown; figures are links."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        parts += [to_markdown(table).rstrip() for table in section.tables.values()]
        parts += [f"![{caption}]({path})" for path, caption in section.figures.items()]
    return "\n\n".join(parts) + "\n"


def to_csv(table: Table) -> str:
    """Headings and rows as comma-separated values; title and notes are left to the other formats."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([table.columns, *table.rows])
    return stream.getvalue()


def to_rich(table: Table):
    """A `rich.table.Table`, for `rtf.console.say`."""
    import rich.table
    from rich.text import Text

    # Text, not str: rich would read "[mag]" as markup.
    caption = Text("\n".join(table.notes), "dim") if table.notes else None
    shown = rich.table.Table(title=Text(table.title), caption=caption, caption_justify="left")
    for k, heading in enumerate(table.columns):
        shown.add_column(Text(heading), justify="right" if k else "left")
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    return shown


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, wherever the reader is, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def to_latex(table: Table, name: str) -> str:
    """A `table` environment with title, rows and notes, no wider than the page; `\\ref{tab:NAME}`."""
    environment = "table*" if len(table.columns) > 5 else "table"
    head = " & ".join(map(_latex_heading, table.columns))
    rows = "".join("      " + " & ".join(map(_latex_cell, row)) + r" \\" + "\n" for row in table.rows)
    notes = "".join(rf"  \par\smallskip\footnotesize {escape_latex(note)}" + "\n" for note in table.notes)
    return rf"""% needs \usepackage{{booktabs,graphicx}}
\begin{{{environment}}}
  \centering
  \caption{{{escape_latex(table.title)}}}
  \label{{tab:{name}}}
  \footnotesize\setlength{{\tabcolsep}}{{4pt}}\renewcommand{{\arraystretch}}{{1.3}}
  \resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%
    \begin{{tabular}}{{l{"r" * (len(table.columns) - 1)}}}
      \toprule
      {head} \\
      \midrule
{rows}      \bottomrule
    \end{{tabular}}}}
{notes}\end{{{environment}}}
"""


_INTERVAL = re.compile(r"(-?\d+\.\d+) \[(-?\d+\.\d+), (-?\d+\.\d+)\]")


def _latex_cell(cell: str) -> str:
    """A cell; `0.7 [0.6, 0.9]` as 0.7 with +0.2 above and -0.1 below."""
    if match := _INTERVAL.fullmatch(cell):
        value, low, high = map(Decimal, match.groups())
        if low <= value <= high:
            return f"${value}^{{+{high - value}}}_{{-{value - low}}}$"
    return escape_latex(cell)


def _latex_heading(heading: str, width: int = 12) -> str:
    lines = textwrap.wrap(heading, width, break_long_words=False, break_on_hyphens=False) or [""]
    return r"\shortstack{" + r"\\".join(map(escape_latex, lines)) + "}"


def escape_latex(text: str) -> str:
    """Text as LaTeX sets it, whatever characters it has."""
    return "".join(_LATEX.get(character, character) for character in text)


_STYLE = """
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:90rem;padding:1.5rem}
h2{margin-top:2.5rem;border-bottom:1px solid #8886}h3{font-size:1.02rem;margin:1.6rem 0 .4rem}
nav{background:#8881;padding:.7rem 1.2rem;border-radius:8px}nav ul{margin:.2rem 0}nav ul ul{columns:26rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .7rem;text-align:right;border-bottom:1px solid #8886;white-space:nowrap}
th{vertical-align:bottom;white-space:normal;min-width:5rem}tbody tr:nth-child(even){background:#8881}
th:first-child,td:first-child,.left th,.left td{text-align:left}.failed{color:#d9534f}
.notes,figcaption{opacity:.75;font-size:12.5px}.notes p{margin:.2rem 0;max-width:70rem}
figure{margin:1rem 0}img{max-width:100%;background:#fff;padding:8px;border-radius:8px}
"""


def to_html(title: str, sections: Sequence[Section], folder: Path) -> str:
    """A whole page; its figures are read from `folder` and become part of it."""
    text = html.escape
    contents, parts = [], []
    for k, section in enumerate(sections):
        items = {name: table.title for name, table in section.tables.items()}
        items |= {_anchor(path): f"Figure: {caption}" for path, caption in section.figures.items()}
        inner = "".join(f"<li><a href='#{text(n)}'>{text(what)}</a></li>" for n, what in items.items())
        contents.append(f"<li><a href='#section-{k}'>{text(section.title)}</a><ul>{inner}</ul></li>")
        parts.append(f"<h2 id='section-{k}'>{text(section.title)}</h2>")
        parts += [f"<p>{text(paragraph)}</p>" for paragraph in section.text]
        parts += [_table_html(name, table) for name, table in section.tables.items()]
        for path, caption in section.figures.items():
            data = base64.b64encode((folder / path).read_bytes()).decode()
            parts.append(
                f"<figure id='{text(_anchor(path))}'><img alt='{text(caption)}' "
                f"src='data:image/png;base64,{data}'><figcaption>{text(caption)}</figcaption></figure>"
            )
    head = (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{text(title)}</title><style>{_STYLE}</style><h1>{text(title)}</h1>"
    )
    nav = f"<nav><strong>Contents</strong><ul>{''.join(contents)}</ul></nav>"
    return "\n".join([head, nav, *parts]) + "</html>\n"


def _anchor(path: str) -> str:
    return f"figure-{Path(path).stem}"


def _table_html(name: str, table: Table) -> str:
    text = html.escape
    head = "".join(f"<th>{text(c)}</th>" for c in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    rows = rows.replace("<td>failed</td>", "<td class='failed'>failed</td>")
    notes = "".join(f"<p>{text(note)}</p>" for note in table.notes)
    kind = " left" if "state" in table.columns else ""
    return (
        f"<h3 id='{text(name)}'>{text(table.title)}</h3><div class='wide{kind}'><table><thead><tr>{head}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div><div class='notes'>{notes}</div>"
    )

"""A report as markdown, as one HTML file that holds its pictures, and its numbers as CSV and JSON.

Notable:
- tables are written in full as CSV; the documents show as many rows as the section asks for
- the HTML needs nothing beside it
"""

import base64
import csv
import html
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from rtf.files import whole, write_json


@dataclass
class Table:
    """Rows of text and numbers.

    Attributes
    ----------
    name : of its CSV file
    columns : headings, with units
    rows : as many cells each as there are columns
    shown : rows in the documents; None for all
    """

    name: str
    columns: tuple[str, ...]
    rows: list[tuple]
    shown: int | None = None


@dataclass
class Section:
    """A part of the report.

    Attributes
    ----------
    title : heading
    text : paragraphs
    tables : below them
    figures : file name in the folder of the report, and caption
    numbers : everything worth keeping, for JSON
    """

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)
    numbers: dict = field(default_factory=dict)


def write_document(folder: Path, title: str, sections: list[Section]) -> Path:
    """Write report.md, report.html, numbers.json and one CSV a table into `folder`; returns report.md."""
    for section in sections:
        for table in section.tables:
            with whole(folder / f"{table.name}.csv") as temporary, temporary.open("w", newline="") as stream:
                csv.writer(stream).writerows([table.columns, *table.rows])
    write_json(folder / "numbers.json", plain({s.title: s.numbers for s in sections}))
    with whole(folder / "report.html") as temporary:
        temporary.write_text(_html(folder, title, sections), encoding="utf-8")
    path = folder / "report.md"
    with whole(path) as temporary:
        temporary.write_text(_markdown(title, sections), encoding="utf-8")
    return path


def plain(value):
    """What JSON knows: NaN becomes null, tuples lists, NumPy scalars numbers."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return json.loads(json.dumps(value))


def cell(value) -> str:
    """A number with four digits, a dash for none."""
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _markdown(title: str, sections: list[Section]) -> str:
    lines = [f"# {title}", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for text in section.text:
            lines += [text, ""]
        for table in section.tables:
            lines += ["| " + " | ".join(table.columns) + " |"]
            lines += ["| --- |" + " ---: |" * (len(table.columns) - 1)]
            lines += ["| " + " | ".join(map(cell, row)) + " |" for row in table.rows[: table.shown]]
            lines += ["", *_rest(table)]
        for name, caption in section.figures:
            lines += [f"![{caption}]({name})", "", caption, ""]
    return "\n".join(lines)


def _html(folder: Path, title: str, sections: list[Section]) -> str:
    text = html.escape
    parts = [
        f"<!doctype html><meta charset='utf-8'><title>{text(title)}</title><style>"
        "body{font:15px/1.45 sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}"
        "table{border-collapse:collapse;font-size:13px;margin:1em 0}td,th{padding:2px 9px;text-align:right;"
        "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
        f"figcaption{{color:#555}}</style><h1>{text(title)}</h1>"
    ]
    for section in sections:
        parts.append(f"<h2>{text(section.title)}</h2>")
        parts += [f"<p>{text(paragraph)}</p>" for paragraph in section.text]
        for table in section.tables:
            rows = [f"<tr>{''.join(f'<th>{text(c)}</th>' for c in table.columns)}</tr>"]
            rows += [
                f"<tr>{''.join(f'<td>{text(cell(c))}</td>' for c in row)}</tr>"
                for row in table.rows[: table.shown]
            ]
            parts.append(
                f"<table>{''.join(rows)}</table>" + "".join(f"<p>{r}</p>" for r in _rest(table) if r)
            )
        for name, caption in section.figures:
            data = base64.b64encode((folder / name).read_bytes()).decode()
            parts.append(
                f"<figure><img alt='{text(caption)}' src='data:image/png;base64,{data}'>"
                f"<figcaption>{text(caption)}</figcaption></figure>"
            )
    return "\n".join(parts) + "\n"


def _rest(table: Table) -> list[str]:
    if table.shown is None or table.shown >= len(table.rows):
        return []
    return [f"The other {len(table.rows) - table.shown:,} rows are in {table.name}.csv.", ""]

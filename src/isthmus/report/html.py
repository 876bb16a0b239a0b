"""One self-contained page: a plain description of a report in, HTML out. All text is escaped, all images inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .page import MARK, STYLE

__all__ = ["Cell", "Figures", "Highlight", "Picture", "Report", "Section", "Strips", "Table", "render"]


@dataclass(frozen=True)
class Picture:
    """An image with its words.

    Attributes:
        light: PNG or JPEG.
        dark: the same for the dark theme; None where one serves both.
        alt: what a person who can't see it should know.
        title: a short name above it.
        caption: a sentence below it.
        width: on the page, in points, where it is not as wide as its place allows.
    """

    light: bytes
    dark: bytes | None
    alt: str
    title: str = ""
    caption: str = ""
    width: int | None = None


@dataclass(frozen=True)
class Figures:
    """Pictures side by side where there is room; small ones, which have no text inside, up to four of them."""

    pictures: tuple[Picture, ...]
    small: bool = False


@dataclass(frozen=True)
class Strips:
    """Pictures below each other, each one's title in front of it: rows that are compared column by column."""

    pictures: tuple[Picture, ...]
    caption: str = ""


@dataclass(frozen=True)
class Cell:
    """A number of a table as text, its standard error, and whether it is the best of its row."""

    value: str
    standard_error: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Measures (rows) of models (columns).

    Attributes:
        columns: names of the models.
        rows: name, unit, description, and a cell for each column.
        note: below the table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, str, tuple[Cell, ...]], ...]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs, and what they are about."""

    title: str
    text: tuple[str, ...] = ()
    blocks: tuple[Figures | Strips | Table, ...] = ()


@dataclass(frozen=True)
class Highlight:
    """A number that a reader should take away."""

    value: str
    label: str


@dataclass(frozen=True)
class Report:
    """All that a report says.

    Attributes:
        title: its heading.
        subtitle: one line below it.
        summary: paragraphs in plain language.
        highlights: three or four numbers.
        sections: in reading order.
        settings: groups of names and values, folded away at the end.
        command: the command line that makes the run again.
    """

    title: str
    subtitle: str = ""
    summary: tuple[str, ...] = ()
    highlights: tuple[Highlight, ...] = ()
    sections: tuple[Section, ...] = ()
    settings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    command: str = ""


def render(report: Report) -> str:
    """The report as one HTML page without external resources, light and dark, for wide and narrow screens."""
    sections = [s for s in report.sections if s.blocks or s.text]
    links = "".join(f'<a href="#s{i}">{escape(s.title)}</a>' for i, s in enumerate(sections))
    body = "".join(_section(section, i) for i, section in enumerate(sections))
    highlights = "".join(f"<div><dd>{escape(h.value)}</dd><dt>{escape(h.label)}</dt></div>" for h in report.highlights)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Isthmus">
<title>{escape(report.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
{MARK}
<h1>{escape(report.title)}</h1>
{_tag("p", report.subtitle, "subtitle")}
{_paragraphs(report.summary)}
{f'<dl class="highlights">{highlights}</dl>' if highlights else ""}
{f'<nav aria-label="Sections">{links}</nav>' if len(sections) > 1 else ""}
</header>
<main>
{body}
{_settings(report)}
</main>
</body>
</html>
"""


def _section(section: Section, number: int) -> str:
    blocks = "".join(_block(block) for block in section.blocks)
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>{_paragraphs(section.text)}{blocks}</section>\n'


def _block(block: Figures | Strips | Table) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figures):
        kind = "figures small" if block.small else "figures"
        return f'<div class="{kind}">{"".join(_figure(picture) for picture in block.pictures)}</div>'
    rows = "".join(
        f'<div class="strip"><span>{escape(picture.title)}</span>{_image(picture)}</div>' for picture in block.pictures
    )
    return f'<figure class="strips">{rows}{_tag("figcaption", block.caption)}</figure>'


def _figure(picture: Picture) -> str:
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>" if picture.caption else ""
    return f"<figure>{_tag('h3', picture.title)}{_image(picture)}{caption}</figure>"


def _image(picture: Picture) -> str:
    width = "" if picture.width is None else f' style="width: {picture.width}px"'
    image = f'<img src="{_data_uri(picture.light)}" alt="{escape(picture.alt)}"{width}>'
    if picture.dark is None:
        return image
    dark = f'<source media="(prefers-color-scheme: dark)" srcset="{_data_uri(picture.dark)}">'
    return f"<picture>{dark}{image}</picture>"


def _data_uri(image: bytes) -> str:
    kind = "jpeg" if image.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = []
    for name, unit, description, cells in table.rows:
        unit = f' <span class="unit">{escape(unit)}</span>' if unit else ""
        label = f'<th scope="row">{escape(name)}{unit}{_tag("small", description)}</th>'
        rows.append(f"<tr>{label}{''.join(_cell(cell) for cell in cells)}</tr>")
    return (
        f'<div class="table"><table style="--models: {len(table.columns)}">'
        f'<thead><tr><th scope="col">Measure</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{_tag('p', table.note, 'note')}"
    )


def _cell(cell: Cell) -> str:
    value = f"<strong>{escape(cell.value)}</strong>" if cell.best else escape(cell.value)
    error = f' <span class="error">± {escape(cell.standard_error)}</span>' if cell.standard_error else ""
    return f"<td>{value}{error}</td>"


def _settings(report: Report) -> str:
    groups = []
    for title, entries in report.settings:
        items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries)
        groups.append(f"<section><h3>{escape(title)}</h3><dl>{items}</dl></section>")
    again = f"<h3>Run it again</h3><pre><code>{escape(report.command)}</code></pre>" if report.command else ""
    if not groups and not again:
        return ""
    return (
        f"<details><summary>Settings, versions and the command to run it again</summary>{again}"
        f'<div class="settings">{"".join(groups)}</div></details>'
    )


def _paragraphs(text: Sequence[str]) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text)


def _tag(name: str, text: str, kind: str = "") -> str:
    """An element around escaped text, or nothing without text."""
    kind = f' class="{kind}"' if kind else ""
    return f"<{name}{kind}>{escape(text)}</{name}>" if text else ""

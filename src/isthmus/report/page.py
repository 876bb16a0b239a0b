"""What every page of a report has: its style sheet, and the mark, lines that pass through a narrow place."""

from __future__ import annotations

from .style import DARK, LIGHT, Theme

__all__ = ["MARK", "STYLE"]

_SHEET = """
:root {
  LIGHT
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 3rem) 5rem;
  background: var(--surface); color: var(--ink); font: 16px/1.6 var(--sans);
}
header, main { max-width: 1080px; margin: 0 auto; }
.mark path { vector-effect: non-scaling-stroke; }
.mark { display: block; width: 100%; height: 56px; color: var(--accent); margin-bottom: 1.5rem; }
h1, h2 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.5rem; margin: 0 0 .6rem; }
h3 { font-size: .92rem; font-weight: 600; margin: 0 0 .5rem; }
p { max-width: 70ch; margin: 0 0 .9rem; text-wrap: pretty; }
.subtitle { color: var(--soft); margin: .4rem 0 1.4rem; max-width: none; }
.highlights {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(10.5rem, 42%), 1fr)); gap: 1.2rem 1.5rem;
  margin: 1.8rem 0; padding: 1.3rem 0; border: solid var(--line); border-width: 1px 0;
}
.highlights div { display: flex; flex-direction: column; }
.highlights dd { margin: 0; font: 600 1.75rem/1.2 var(--serif); color: var(--accent); }
.highlights dt { color: var(--soft); font-size: .85rem; line-height: 1.4; margin-top: .25rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; font-size: .9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
main > section { margin-top: 3.5rem; scroll-margin-top: 1rem; }
figure { margin: 0; min-width: 0; }
figcaption, .note { color: var(--soft); font-size: .87rem; line-height: 1.5; margin-top: .6rem; max-width: 70ch; }
img { display: block; max-width: 100%; height: auto; }
.figures {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 2rem 2.2rem;
  margin-top: 1.4rem;
}
.figures.small { grid-template-columns: repeat(auto-fit, minmax(min(228px, 100%), 1fr)); gap: 2rem 1.6rem; }
.figures figure { max-width: 480px; }
@media (min-width: 860px) {
  .figures:not(.small):has(> :nth-child(4):last-child) { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .figures figure:only-child {
    display: grid; grid-template: auto 1fr / 480px 1fr; gap: 0 2.2rem; max-width: none; align-items: start;
  }
  .figures figure:only-child picture { grid-area: 1 / 1 / 3 / 2; }
  .figures figure:only-child > :not(picture) { grid-column: 2; }
}
.figures img { width: 100%; }
.strips { margin-top: 1.4rem; }
.strip {
  display: grid; grid-template-columns: 8.5rem minmax(0, 1fr); gap: 0 1rem; align-items: center; margin-bottom: .4rem;
}
.strip span { font-size: .87rem; text-align: right; color: var(--soft); }
.strip img { width: auto; }
.table { overflow-x: auto; margin-top: 1.2rem; }
table { border-collapse: collapse; width: 100%; max-width: calc(34rem + var(--models) * 11rem);
  font-size: .93rem; font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: .6rem 0 .6rem 1.2rem; text-align: right; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child { padding-left: 0; text-align: left; min-width: 9.5rem; }
thead th { font-weight: 600; color: var(--soft); font-size: .85rem; border-bottom-color: var(--soft); }
tbody th { font-weight: 500; }
td { white-space: nowrap; }
.unit, .error { color: var(--soft); font-size: .85em; font-weight: 400; }
th small {
  display: block; color: var(--soft); font-weight: 400; line-height: 1.4; max-width: 52ch; margin-top: .15rem;
}
details { margin-top: 3.5rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
summary { cursor: pointer; color: var(--soft); }
details[open] summary { margin-bottom: 1.4rem; }
.settings { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(290px, 100%), 1fr)); gap: 1.8rem 3rem; }
.settings dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .2rem 1rem;
  margin: 0; font-size: .85rem; }
.settings dt { color: var(--soft); }
.settings dd { margin: 0; overflow-wrap: anywhere; text-align: right; }
pre { overflow-x: auto; background: var(--tile); padding: .9rem 1rem; border-radius: 6px; margin: 0 0 1.8rem; }
code { font: .85rem/1.5 var(--mono); }
@media (max-width: 640px) {
  .strip { grid-template-columns: 1fr; margin-bottom: .7rem; }
  .strip span { text-align: left; margin-bottom: .2rem; }
  tr {
    display: grid; grid-template-columns: repeat(var(--models), minmax(6rem, 1fr));
    border-bottom: 1px solid var(--line);
  }
  tbody th { grid-column: 1 / -1; padding-bottom: 0; }
  thead th:first-child { display: none; }
  th, td { border: 0; padding-left: 0; }
  td .error { display: block; }
  .mark { height: 40px; }
}
@media print {
  body { padding: 0; }
  figure, tr { break-inside: avoid; }
}
"""


def _variables(theme: Theme) -> str:
    """The theme's colours as properties, so that page and pictures agree."""
    names = ("surface", "ink", "soft", "line", "tile")
    return " ".join(f"--{name}: {getattr(theme, name)};" for name in names) + f" --accent: {theme.models[0]};"


STYLE = _SHEET.replace("LIGHT", _variables(LIGHT)).replace("DARK", _variables(DARK))
"""The style sheet."""


def _mark() -> str:
    """Lines across the page that run together in the middle and apart again."""
    paths = []
    for i in range(9):
        y = 4 + 9 * i
        middle = 40 + (y - 40) * 0.12
        paths.append(f'<path d="M0 {y}C300 {y} 380 {middle:.1f} 500 {middle:.1f}S700 {y} 1000 {y}"/>')
    return (
        '<svg class="mark" viewBox="0 0 1000 80" preserveAspectRatio="none" aria-hidden="true" fill="none" '
        f'stroke="currentColor" stroke-width="1.2">{"".join(paths)}</svg>'
    )


MARK = _mark()
"""The mark above a page: an isthmus, as an SVG element."""

# SPDX-License-Identifier: MIT OR Apache-2.0
"""A page as one HTML file that needs nothing else: styles, drawings and raw data are inside.

There is no script in it, and its Content-Security-Policy forbids loading anything, so that a name
in a result that tries to be markup stays a name.
"""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from . import colours
from .frame import Key, swatch
from .page import SIGNS, Download, Figure, Page
from .svg import Svg

HERE = Path(__file__).parent
WIDE, HALF, NARROW = 900.0, 480.0, 350.0  # of a drawing: alone, beside another, on a phone
_VARIABLE = re.compile(r"var\(--([a-z0-9-]+)\)")


def render(page: Page, printed: bool = False) -> str:
    """The file's text. `printed`: for paper, where only the wide drawings are of use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(drawings=lambda figure: drawings(figure, printed),
                               swatch=_swatch, data_uri=data_uri)
    style = colours.style_sheet() + (HERE / "style.css").read_text()
    if printed:  # WeasyPrint knows variables, but not in all places
        style = _VARIABLE.sub(lambda found: colours.ROLES[found[1]][0], style)
    return environment.get_template("page.html").render(
        page=page, style=Markup(style), signs=SIGNS, printed=printed,
        kind=lambda block: type(block).__name__)


def drawings(figure: Figure, printed: bool = False) -> list[tuple[str, Markup]]:
    """Title and drawing of each panel; the drawing once for wide and once for narrow screens."""
    width = WIDE if len(figure.panels) == 1 or figure.stacked else HALF
    found = []
    for panel in figure.panels:
        wide = panel.draw(width, False).render()
        both = wide if printed else (f'<div class="wide">{wide}</div><div class="narrow">'
                                     f"{panel.draw(NARROW, False).render()}</div>")
        found.append((panel.title, Markup(both)))  # escaped where it was written, in svg.py
    return found


def _swatch(key: Key) -> Markup:
    svg = Svg(22, 14, "")
    swatch(svg, 1, 7, key)
    return Markup(svg.render().replace('role="img" aria-label=""', 'aria-hidden="true"', 1))


def data_uri(download: Download) -> str:
    """The data, compressed, as a link that needs no network; the same for the same data."""
    packed = base64.b64encode(gzip.compress(download.data, mtime=0)).decode()
    return f"data:application/gzip;base64,{packed}"

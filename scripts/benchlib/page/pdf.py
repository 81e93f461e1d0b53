# SPDX-License-Identifier: MIT OR Apache-2.0
"""A page as PDF: the HTML laid out for paper by WeasyPrint, the raw data attached to the file."""

from __future__ import annotations

import io
import logging
from typing import Any
from urllib.parse import quote

from ..errors import BenchError
from . import html
from .page import Download, Page


def render(page: Page) -> bytes:
    attached = [_attachment(download)
                for chapter in page.chapters for download in chapter.downloads]
    return bytes(document(page).write_pdf(attachments=attached))


def document(page: Page) -> Any:
    """The page as WeasyPrint's HTML, ready to be laid out."""
    try:
        import weasyprint
    except ImportError as error:
        raise BenchError(f"no PDF without WeasyPrint ({error})",
                         "Install Debian's weasyprint (scripts/setup does), or write .html.") \
            from error
    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it warns of CSS for screens
    return weasyprint.HTML(string=html.render(page, printed=True), url_fetcher=_refuse)


def _attachment(download: Download) -> Any:
    """WeasyPrint names an attachment after its URL, so it gets one, which leads nowhere else."""
    import weasyprint
    return weasyprint.Attachment(
        url=f"raw:///{quote(download.name)}", description=download.name,
        url_fetcher=lambda url, *_more: {"file_obj": io.BytesIO(download.data),
                                         "redirected_url": url})


def _refuse(url: str, *_more: Any) -> Any:
    raise ValueError(f"a report loads nothing, least of all {url:.60}")

"""The page at `/`: a person types a text and sees labels, probabilities and the words that count.

Its parts are files of the package. They load nothing from anywhere else, and the browser is told to refuse
anything else too (Content-Security-Policy).
"""

from __future__ import annotations

import html
from importlib import resources

from custom_bert.errors import UserError
from custom_bert.server.serving import Offer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
)

KINDS = {
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}

File = tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...]]
"""Content type, content, and more headers."""


def page_files(offer: Offer, name: str, *, needs_token: bool) -> dict[str, File]:
    """Returns the files of the page by path.

    Args:
        offer: what is served; the page asks for nothing else.
        name: what the model is called.
        needs_token: whether requests have to bring the token.

    Raises:
        UserError: if the installation lacks a file.
    """
    facts = {
        "NAME": html.escape(name),
        "PAIRS": _word(offer.pairs),
        "PREDICTS": _word(offer.predicts),
        "EXPLAINS": _word(offer.explains),
        "SPANS": _word(offer.spans),
        "TOKEN": _word(needs_token),
    }
    page = _read("page.html")
    for word, value in facts.items():
        page = page.replace(f"{{{word}}}", value)
    files = {f"/{file}": (kind, _read(file).encode(), HEADERS) for file, kind in KINDS.items()}
    return {"/": (b"text/html; charset=utf-8", page.encode("utf-8", "replace"), HEADERS), **files}


def _word(value: bool) -> str:
    return "yes" if value else "no"


def _read(name: str) -> str:
    file = resources.files("custom_bert.server").joinpath(name)
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: the installation of custom-bert is incomplete; reinstall it") from error

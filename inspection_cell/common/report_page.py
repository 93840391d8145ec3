"""How reports look: one page of HTML with tables and figures, and the plots on it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from inspection_cell.common.rates import Share

BLUE, AMBER, RED = "#0072b2", "#c98a00", "#c00000"
KINDS = ("#d55e00", "#cc79a7", "#009e73", "#8c6d31", "#56b4e9", "#777777", "#f0c000", "#6a3d9a")
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .25rem .9rem .25rem 0; }
tr { border-bottom: 1px solid #ddd; } thead tr { border-bottom: 2px solid #555; }
td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; } th { font-weight: 600; }
figure { margin: 1rem 0; break-inside: avoid; } img { max-width: 100%; height: auto; }
figcaption, .small { font-size: .87rem; color: #444; } .note { border-left: 4px solid #c98a00; padding-left: .7rem; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; } .pair figure { margin: 0; }
@page { margin: 15mm; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } h2 { break-after: avoid; } }
"""


def html_page(title: str, body: Sequence[str], style: str = "") -> str:
    """A whole page: `body` is HTML below the title; `style` is CSS beside that of all pages."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}{style}</style>'
    lines = ["<!doctype html>", f'<html lang="en"><head>{head}</head><body>', f"<h1>{escape(title)}</h1>"]
    return "\n".join([*lines, *body, "</body></html>", ""])


def html_table(rows: Sequence[tuple[str, ...]]) -> str:
    """The first row is the head; it is left out where it is blank."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(f"<{tag}>{escape(text).replace(chr(10), '<br>')}</{tag}>" for text in texts)

    head = f"<thead><tr>{cells('th', rows[0])}</tr></thead>" if any(rows[0]) else ""
    body = "\n".join(f"<tr>{cells('th', row[:1])}{cells('td', row[1:])}</tr>" for row in rows[1:])
    return f"<table>{head}<tbody>\n{body}\n</tbody></table>"


def html_figure(source: str, caption: str) -> str:
    """A picture, by its address, with what is written below it."""
    text = escape(caption)
    return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def embedded_plot(figure: Figure, caption: str) -> str:
    """A plot as a PNG inside the page: one file to send around."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    return html_figure(_address(data.getvalue()), caption)


def embedded_picture(picture: NDArray[np.uint8], caption: str) -> str:
    """A picture (h, w, 3) RGB as a PNG inside the page."""
    return html_figure(_address(cv2.imencode(".png", picture[..., ::-1])[1].tobytes()), caption)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def share_text(share: Share) -> str:
    """A share with its counts, and its 95 % interval on a second line."""
    low, high = share.interval()
    return f"{share.value:.3f} ({share.hits} of {share.of})\n{low:.3f} to {high:.3f}"


def plot(width: float, height: float, columns: int = 1) -> tuple[Figure, NDArray[np.object_]]:
    """A figure, inches, and (columns,) axes beside each other with one vertical scale."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, columns, sharey=True))
    for axis in axes:
        axis.grid(color="#e4e4e4", linewidth=0.7)
        axis.set_axisbelow(True)
        axis.tick_params(labelsize=8)
        axis.xaxis.label.set_size(9)
        axis.yaxis.label.set_size(9)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes

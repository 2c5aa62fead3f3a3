"""The Atom feed of new results (RFC 4287)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from speech_eval.analysis import report
from speech_eval.leaderboard.load import Run

_NAMESPACE = "http://www.w3.org/2005/Atom"
_MOST = 100
_EPOCH = "1970-01-01T00:00:00Z"
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def feed(runs: Sequence[Run]) -> str:
    """The newest runs first, each with its primary numbers. Runs that do not say when they ended are left out.

    Addresses are relative to the feed: where the site will lie is not known when it is built.
    """
    dated = sorted((run for run in runs if run.at), key=lambda run: (run.at, run.id), reverse=True)[:_MOST]
    root = ElementTree.Element("feed", xmlns=_NAMESPACE)
    _add(root, "title", "Speech model leaderboard: new results")
    _add(root, "id", "tag:speech-eval,2026:leaderboard")
    _add(root, "updated", dated[0].at if dated else _EPOCH)
    _add(_add(root, "author"), "name", "speech-eval")
    _add(root, "link", rel="alternate", href="index.html")
    for run in dated:
        entry = _add(root, "entry")
        _add(entry, "title", run.results.model)
        _add(entry, "id", f"tag:speech-eval,2026:run/{run.id}")
        _add(entry, "updated", run.at)
        _add(entry, "link", rel="alternate", href=f"runs/{run.id}.html")
        _add(entry, "summary", _summary(run))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _summary(run: Run) -> str:
    parts = []
    for task in run.results.tasks:
        metric = report.primary(task)
        number = (
            "" if metric is None else f" {report.short(metric, task)} {report.quantity(metric.strict, metric.unit)}"
        )
        parts.append(f"{task.task}:{number}" + ("" if task.leaderboard_grade else " (subset)"))
    return "; ".join(parts)


def _add(parent: ElementTree.Element, name: str, text: str = "", **attributes: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name, attributes)
    child.text = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text) or None
    return child

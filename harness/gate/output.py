"""The verdict as text, JUnit XML (CI servers) and Markdown (job summaries, pull requests), all from one record."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from speech_eval.analysis.exports.markdown import markdown_cell
from speech_eval.analysis.report import plain
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import write_json
from speech_eval.gate.decisions import Judgment, Verdict

_MARKS = {"pass": "✅", "regression": "❌", "could not judge": "⚠️"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(verdict: Verdict) -> str:
    """One line per rule with the number in both runs, the worst samples below it, and the verdict."""
    lines = []
    for item in verdict.judgments:
        lines.append(": ".join(filter(None, [item.outcome, item.rule.title, item.values(), item.reason])))
        lines += [f"    {sample.line()}" for sample in item.worst]
    return "\n".join(plain(line) for line in [*lines, f"verdict: {verdict.outcome}"])


def markdown(verdict: Verdict) -> str:
    """A section for a job summary or a comment: the verdict, the run, and a table of the rules."""
    against = f" against `{_code(verdict.baseline)}`" if verdict.baseline else ""
    lines = [
        f"### {_MARKS[verdict.outcome]} speech-eval gate: {verdict.outcome}",
        "",
        f"`{_code(verdict.run)}`{against}",
        "",
        "| | Task | Number | Run | Baseline | Rule | Finding |",
        "|---|---|---|--:|--:|---|---|",
    ]
    for item in verdict.judgments:
        rule = f"{item.rule.kind.replace('_', ' ')} {item.rule.limit:g}"
        sides = [_value(item.run_value, item.unit), _value(item.baseline_value, item.unit)]
        number = item.rule.metric + (f" by {item.rule.by}" if item.rule.by else "")
        cells = [item.rule.task, number, *sides, rule, f"{item.outcome}: {item.reason}"]
        shown = [markdown_cell(plain(cell)) for cell in cells]
        lines.append("| " + " | ".join([_MARKS[item.outcome], *shown]) + " |")
    worst = [(item.rule.title, sample) for item in verdict.judgments for sample in item.worst]
    if worst:
        lines += ["", "Samples that speak most for it:", ""]
        lines += [f"- {markdown_cell(plain(f'{title}: {sample.line()}'))}" for title, sample in worst]
    return "\n".join(lines) + "\n"


def _value(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}".rstrip()


def _code(path: str) -> str:
    return plain(path).replace("`", "'")


def junit(verdict: Verdict) -> str:
    """JUnit XML: one test case per rule; a regression is a failure, a rule that could not be judged an error."""
    counts = {outcome: sum(item.outcome == outcome for item in verdict.judgments) for outcome in _MARKS}
    totals = {
        "name": "speech-eval gate",
        "tests": str(len(verdict.judgments)),
        "failures": str(counts["regression"]),
        "errors": str(counts["could not judge"]),
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", totals)
    suite = ElementTree.SubElement(root, "testsuite", totals)
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("run", verdict.run), ("baseline", verdict.baseline or ""), ("outcome", verdict.outcome)):
        ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    for item in verdict.judgments:
        _case(suite, item)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite: ElementTree.Element, item: Judgment) -> None:
    named = {"classname": _xml(f"gate.{item.rule.task}"), "name": _xml(item.rule.title)}
    case = ElementTree.SubElement(suite, "testcase", named)
    if item.outcome != "pass":
        kind = "failure" if item.outcome == "regression" else "error"
        said = {"type": item.outcome, "message": _xml(item.reason)}
        samples = [sample.line() for sample in item.worst]
        ElementTree.SubElement(case, kind, said).text = _xml("\n".join([item.values(), item.reason, *samples]).strip())
    else:
        ElementTree.SubElement(case, "system-out").text = _xml(item.reason)


def _xml(value: str) -> str:
    """Replace the characters that XML cannot contain."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)


def write(verdict: Verdict, *, junit_file: Path | None, markdown_file: Path | None, record: bool) -> None:
    """Write the files asked for. Markdown is appended to its file, as a job summary expects; `record` stores the
    verdict in the run as `gate.json`, where the leaderboard reads it."""
    if junit_file is not None:
        write_atomically(junit_file, junit(verdict).encode())
    if markdown_file is not None:
        before = markdown_file.read_bytes() if markdown_file.is_file() else b""
        write_atomically(markdown_file, before + markdown(verdict).encode())
    if record:
        write_json(Path(verdict.run) / "gate.json", verdict)

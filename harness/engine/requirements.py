"""What a task needs of its data, checked before a model is asked: the fields of the samples, then the recordings.

A sample that no model could be asked about is `invalid`: no number counts it. A metric that a sample gives nothing to
compare with does not count that sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from speech_eval import datasets
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.score import data_fault, data_reader
from speech_eval.engine.task import Task
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress, silent
from speech_eval.records import Ask, Output, Sample

HEARING = ("SpeechRecognizer", "AudioCodec", "DuplexAgent")  # interfaces whose requests are a recording
READERS = 4  # threads that read recordings

File = tuple[str, str | None]  # a path of the dataset, and the sha256 that a sample states


def cannot_ask(interface: str, sample: Sample, hears: bool, ask: Ask = "speech", *, plays: bool = False) -> str:
    """What a request of the interface needs, to a model that `hears` the recording or does not, or `plays` it as its
    answer, and the sample does not have; empty where it has all."""
    if ask != "speech":
        given = sample.prompt_text if ask == "text" else sample.audio
        return "" if given else "question in text" if ask == "text" else "recording"
    if (plays or (hears and interface in HEARING)) and sample.audio is None:
        return "recording"
    if interface == "SpeechSynthesizer" and not (sample.text or "").strip():
        return "text to speak"
    if interface == "AudioLanguageModel" and sample.audio is None and not (sample.prompt_text or sample.text):
        return "recording or question"
    return ""


def scorable(
    task: Task,
    interface: str,
    metrics: Sequence[str],
    dataset: Dataset,
    *,
    hears: bool,
    plays: bool = False,
    chosen: bool = False,
) -> tuple[tuple[str, ...], list[str]]:
    """The metrics that have a value for at least one sample, and notes on what is left out.

    Raises `BadInput` naming the columns of the data where the model cannot be asked about any sample, or where the
    primary metric (each metric, where the user has `chosen` them) has a value for none.
    """
    total = len(dataset)
    needs = partial(cannot_ask, interface, hears=hears, ask=task.ask, plays=plays)
    lacking = Counter(what for sample in dataset.samples if (what := needs(sample)))
    _refuse_all(dataset, lacking, f"the task {task.name}")
    notes = [f"{count} of {total} samples have no {what} and are not asked." for what, count in lacking.items()]
    primary = task.variants[interface].primary.split("/")[0]
    kept, partly, dropped = [], dict[str, list[str]](), dict[str, list[str]]()
    for name in metrics:
        cls: type[Metric] = METRICS.get(name)
        lacking = Counter(what for sample in dataset.samples if (what := cls.lacks(sample)))
        if chosen or name == primary:
            _refuse_all(dataset, lacking, name)
        if lacking.total() == total:
            dropped.setdefault(" or ".join(lacking), []).append(name)
            continue
        kept.append(name)
        for what, count in lacking.items():
            partly.setdefault(f"{count} of {total} samples have no {what}", []).append(name)
    notes += [f"{what}: not counted in {', '.join(names)}." for what, names in partly.items()]
    notes += [f"No sample has a {what}: without {', '.join(names)}." for what, names in dropped.items()]
    return tuple(kept), notes


def _refuse_all(dataset: Dataset, lacking: Mapping[str, int], what: str) -> None:
    if sum(lacking.values()) < len(dataset):
        return
    columns = f" The columns of the data are {', '.join(dataset.columns)}." if dataset.columns else ""
    raise BadInput(
        f"{dataset.info.name}: {what} needs a {' or '.join(lacking)}, and no sample has one.{columns}",
        "Name the columns as docs/data.md says, or give other data with --data.",
    )


def check(task: Task, dataset: Dataset) -> tuple[list[str], list[str]]:
    """Problems that the data poses to the task for any model, and notes on what the task leaves out, one line each.

    Reads the recordings that the metrics without a model compare with. Recordings that cannot be read at all are for
    `datasets.check` to find.
    """
    problems, notes = list[str](), list[str]()
    task = task.for_languages({sample.language for sample in dataset.samples})
    for interface, variant in task.variants.items():
        try:
            metrics, left_out = scorable(task, interface, variant.metrics, dataset, hears=True)
        except BadInput as error:
            problems.append(error.problem)
            continue
        notes += left_out
        invalid = defects(dataset, interface, hears=True)
        samples = [sample for sample in dataset.samples if sample.id not in invalid]
        for name in metrics:
            cls: type[Metric] = METRICS.get(name)
            if "audio" in cls.needs and cls.needs & {"reference", "prompt"} and not cls.assets:
                problems += _without_value(cls(), dataset, samples)
    return list(dict.fromkeys(problems)), list(dict.fromkeys(notes))


def _without_value(metric: Metric, dataset: Dataset, samples: Sequence[Sample]) -> Iterator[str]:
    """The samples for which the metric has no value even if the recording itself is the answer."""
    for sample in samples:
        given = ((sample.audio, sample.audio_sha256), (sample.prompt_audio, sample.prompt_audio_sha256))
        files = [(None if path is None else dataset.located(path), digest) for path, digest in given]
        reference, prompt = (data_reader(*file) for file in files)
        output = Output(id=sample.id, task="", status="ok", seed=0)
        item = ScoringItem(sample, output, load_reference=reference, load_prompt=prompt)
        if fault := data_fault(metric, item):
            yield f"{sample.id}: not counted in {metric.id}: {fault}"


def defects(
    dataset: Dataset,
    interface: str,
    hears: bool,
    progress: Progress = silent,
    ask: Ask = "speech",
    *,
    plays: bool = False,
) -> dict[str, str]:
    """Why samples are invalid, by id: what a request needs is absent, or the recording or voice prompt that a model
    (if it `hears`) is given, or the recording that it `plays`, is missing, not the stated one or unreadable, or silent
    although words are said or a voice is to be copied.

    Reads every such recording; those that metrics alone read are for each metric to judge.
    """
    found = {
        sample.id: f"sample {sample.id} has no {what}"
        for sample in dataset.samples
        if (what := cannot_ask(interface, sample, hears, ask, plays=plays))
    }
    files: dict[str, File] = {}  # by sample
    for sample in dataset.samples if hears else ():
        if not plays and interface == "SpeechSynthesizer":
            if sample.prompt_audio is not None:
                files[sample.id] = sample.prompt_audio, sample.prompt_audio_sha256
        elif sample.audio is not None:
            files[sample.id] = sample.audio, sample.audio_sha256
    wanted = list(dict.fromkeys(files.values()))
    findings: dict[str, datasets.Finding] = {}  # one digest that differs condemns the file for every sample
    with ThreadPoolExecutor(READERS, thread_name_prefix="data") as pool:
        read = pool.map(lambda file: datasets.inspect(dataset, *file), wanted)
        for number, ((path, _), finding) in enumerate(zip(wanted, read, strict=True), 1):
            if finding and (path not in findings or finding.kind == "unusable"):
                findings[path] = finding
            progress(f"{dataset.info.name}: check", number, len(wanted))
    for sample in dataset.samples:
        finding = findings.get(files[sample.id][0]) if sample.id in files else None
        sound = finding and finding.kind == "silent" and not (sample.text or "").strip()
        if finding and finding.kind != "slow" and not sound:
            found.setdefault(sample.id, finding.text)
    return found

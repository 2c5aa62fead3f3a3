"""Speech to train on as one AudioFolder, recorded or (labeled so) synthetic: FLAC and a `metadata.jsonl`.

OUTPUT/metadata.jsonl              file_name, text, speaker, language, source, split, seconds
OUTPUT/audio/SOURCE/*.flac
OUTPUT/train.jsonl                 manifest: utterances that are trained on
OUTPUT/held-out.jsonl              manifest: utterances nothing is trained on, of voices that are trained on
OUTPUT/held-out-speaker.jsonl      manifest: every utterance of the voice that is held out whole
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.audio import Audio, flac_bytes, load
from speech_eval.cache import file_sha256, make_folder, write_atomically
from speech_eval.errors import BadAudio, BadInput
from speech_eval.progress import Progress, silent
from speech_eval.records import DatasetInfo, Sample
from speech_eval.reference_models.data import dialogues
from speech_eval.reference_models.data.natural import ASSET as TEXTS
from speech_eval.reference_models.data.natural import long_sentences, natural_sentences
from speech_eval.reference_models.data.questions import questions
from speech_eval.reference_models.data.sentences import sentences
from speech_eval.reference_models.data.voices import ASSISTANT, say
from speech_eval.text.files import read_record

SOURCES = ("asterisk-en", "asterisk-es", "asterisk-fr", "asterisk-it", "asterisk-ru")
SYNTHETIC = "hibari-en"
GENERATED = "hibari-generated"  # sentences of a grammar, any number of hours
SEVERAL = "hibari-voices"  # the same sentences, spoken in turn by the voices of one dialogue
CROWD = "hibari-crowd"  # the same again, every other one by a voice of the simulated dialogues
NATURAL = "hibari-natural"  # natural sentences, every third in another voice
LONG = "hibari-long"  # natural sentences, half of them joined from two, in one voice
QUESTIONS = "hibari-questions"  # questions with short answers, in the same voices
_OTHERS = ("hibari-low", "hibari-high", "hibari-mid", "hibari-small")
_EVERY_THIRD = tuple(name for other in _OTHERS for name in (ASSISTANT, ASSISTANT, other))
_VOICES = {
    SEVERAL: (ASSISTANT, "hibari-low", ASSISTANT, "hibari-high"),
    CROWD: tuple(name for other in dialogues.USERS for name in (ASSISTANT, other)),
    NATURAL: _EVERY_THIRD,
    QUESTIONS: _EVERY_THIRD,
}
_SPOKEN_BY_HIBARI = (SYNTHETIC, GENERATED, SEVERAL, CROWD, NATURAL, LONG, QUESTIONS, *dialogues.SOURCES)
_QUOTED = {NATURAL, LONG, QUESTIONS}
_GENERATED = 6000  # sentences without a limit: about six hours
HELD_OUT_SOURCE = "asterisk-it"  # its speaker is in no other source; English and Spanish share one
SPLITS = ("train", "held-out", "held-out-speaker")
# Shorter or quieter recordings are prompts of silence, clicks and beeps.
_SHORTEST, _QUIETEST = 0.4, 0.01
_NOT_SPEECH = ("silence/",)


@dataclass(frozen=True)
class Recording:
    """One utterance before it is written: `key` is unique within its source, `text` is None if unknown. A dialogue has
    a second channel, `right`; `columns` are added to its row, such as the answer to a question. Those of one `group`
    are held out together."""

    source: str
    key: str
    audio: Audio
    speaker: str
    language: str
    text: str | None
    right: Audio | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None


def prepare(
    output: Path,
    sources: Iterable[str] = SOURCES,
    held_out_source: str = HELD_OUT_SOURCE,
    limit: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the folder and return its summary: hours and clips per split, files left out and why.

    `limit` takes that many recordings per source, always the same ones. Raises `BadInput` for a source that does not
    exist, if the held-out source shares its speaker with another one, or if `output` was prepared from other sources.
    """
    wanted = list(dict.fromkeys(sources))
    unknown = [name for name in (*wanted, held_out_source) if name not in (*SOURCES, *_SPOKEN_BY_HIBARI)]
    if unknown or not wanted:
        raise BadInput(
            f"No source is named {', '.join(unknown) or 'at all'}.",
            f"Use some of: {', '.join((*SOURCES, *_SPOKEN_BY_HIBARI))}.",
        )
    if len(same := [name for name in (GENERATED, SEVERAL, CROWD) if name in wanted]) > 1:
        raise BadInput(
            f"{' and '.join(same)} are the same sentences under the same ids, half of them in the same voice.",
            "Take one of them, or prepare each into a folder of its own.",
        )
    plan = {"sources": wanted, "held_out_source": held_out_source, "limit": limit}
    make_folder(output)
    with FileLock(output / ".lock"):  # several processes of one training may ask at once
        return _prepare(output, wanted, plan, progress)


def _prepare(output: Path, wanted: list[str], plan: dict[str, Any], progress: Progress) -> dict[str, Any]:
    done = output / "prepared.json"
    if done.is_file():
        summary = read_record(done, "Choose another folder.", "plan")
        if summary["plan"] != plan:
            raise BadInput(f"{output} was prepared as {summary['plan']}, not as {plan}.", "Choose another folder.")
        return summary
    held_out_source, limit = str(plan["held_out_source"]), plan["limit"]
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for number, source in enumerate(wanted):
        progress("prepare", number, len(wanted))
        for recording in _recordings(source, limit, output, left_out, progress):
            rows.append(_write(output, recording, held_out_source))
    progress("prepare", len(wanted), len(wanted))
    _check_speakers(rows, held_out_source)
    write_atomically(output / "metadata.jsonl", "".join(_json(row) + "\n" for row in rows).encode())
    for split in SPLITS:
        _write_manifest(output, split, [row for row in rows if row["split"] == split and "text" in row], wanted)
    summary = {"plan": plan, "splits": _hours(rows), "left_out": left_out, "licenses": _licenses(wanted)}
    write_atomically(done, (json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
    return summary


def _recordings(
    source: str, limit: int | None, output: Path, left_out: dict[str, str], progress: Progress
) -> Iterator[Recording]:
    if source in dialogues.SOURCES:
        count = dialogues.number(source, limit)
        for number, (key, audio, right, speaker, words, columns) in enumerate(dialogues.recordings(source, count)):
            progress(source, number, count)
            group = f"dialogue-{number % dialogues.CONVERSATIONS:05d}" if right else key
            yield Recording(source, key, audio, f"{speaker} (synthetic)", "en", words, right, columns, group)
        return
    if source in _SPOKEN_BY_HIBARI:
        yield from _synthetic(source, limit, output, progress)
        return
    folder = assets.ensure(source, progress)
    dataset = datasets.load_dataset(source)
    known = {str(sample.audio).split("/", 1)[1]: sample for sample in dataset.samples}
    first = dataset.samples[0]
    # Recordings with a text first: only they can be evaluated by their words, and of two equal ones they are kept.
    files = sorted((file.relative_to(folder).as_posix() for file in folder.rglob("*.g722")), key=_digest)
    files = sorted(files, key=lambda name: name not in known)
    seen: dict[str, str] = {}
    for name in sorted(files[:limit], key=lambda name: (name not in known, name)):
        if name.startswith(_NOT_SPEECH):
            continue
        same = seen.setdefault(file_sha256(folder / name), name)
        if same != name:
            left_out[f"{source}/{name}"] = f"the same recording as {same}"
            continue
        try:
            audio = load(folder / name)
        except BadAudio as error:
            left_out[f"{source}/{name}"] = error.problem.replace(f"{folder}/", "")
            continue
        if audio.seconds < _SHORTEST or float(abs(audio.samples).max()) < _QUIETEST:
            left_out[f"{source}/{name}"] = f"under {_SHORTEST} s" if audio.seconds < _SHORTEST else "silent"
            continue
        known_text = known[name].text if name in known else None
        yield Recording(source, name.removesuffix(".g722"), audio, str(first.speaker), first.language, known_text)


def _synthetic(source: str, limit: int | None, output: Path, progress: Progress) -> Iterator[Recording]:
    """Spoken by hibari, 24 kHz: English sentences of the harness and the texts of the English prompts, sentences of a
    grammar, natural ones, or questions. Recordings of an earlier call that was stopped are reused."""
    voices = _VOICES.get(source, (ASSISTANT,))
    for number, (key, text, answer) in enumerate(texts := _texts(source, limit, progress)):
        progress(source, number, len(texts))
        voice = voices[number % len(voices)]
        spoken = output / _file_name(source, key)
        audio = load(spoken) if spoken.is_file() else say(voice, text, seed=number)
        columns = {} if answer is None else {"answer": answer}
        yield Recording(source, key, audio, f"{voice} (synthetic)", "en", text, columns=columns)


def _texts(source: str, limit: int | None, progress: Progress) -> Sequence[tuple[str, str, str | None]]:
    """The keys, texts and answers of a synthetic source."""
    if source == SYNTHETIC:
        bundled = (datasets.load_dataset(name) for name in ("sentences-en", "asterisk-en"))
        return [(sample.id, str(sample.text), None) for dataset in bundled for sample in dataset.samples][:limit]
    if source == NATURAL:
        found = natural_sentences(limit, progress=progress)
        return [(f"natural-{n:06d}", text, None) for n, text in enumerate(found)]
    if source == LONG:
        return [(f"long-{n:06d}", text, None) for n, text in enumerate(long_sentences(limit, progress=progress))]
    if source == QUESTIONS:
        asked = questions(limit, progress=progress)
        return [(f"question-{n:06d}", one.text, one.answer) for n, one in enumerate(asked)]
    found = sentences(_GENERATED if limit is None else limit)
    return [(f"{n:06d}", text, None) for n, text in enumerate(found)]


def _write(output: Path, recording: Recording, held_out_source: str) -> dict[str, Any]:
    file_name = _file_name(recording.source, recording.key)
    if not (output / file_name).is_file():
        write_atomically(output / file_name, flac_bytes(recording.audio, recording.right))
    # The id by which the bundled datasets hold out: what they evaluate on is not trained on here.
    synthetic = recording.source in _SPOKEN_BY_HIBARI
    sample_id = recording.key if synthetic else f"{recording.language}-{recording.key.replace('/', '-')}"
    split = "held-out" if datasets.held_out(recording.group or sample_id) else "train"
    row: dict[str, Any] = {
        "file_name": file_name,
        "id": f"hibari-{sample_id}" if synthetic else sample_id,
        "speaker": recording.speaker,
        "language": recording.language,
        "source": recording.source,
        "synthetic": synthetic,
        "split": "held-out-speaker" if recording.source == held_out_source else split,
        "seconds": round(recording.audio.seconds, 3),
    }
    return row | dict(recording.columns) | ({} if recording.text is None else {"text": recording.text})


def _file_name(source: str, key: str) -> str:
    return f"audio/{source}/{key}.flac"


def _check_speakers(rows: list[dict[str, Any]], held_out_source: str) -> None:
    held_out = {row["speaker"] for row in rows if row["split"] == "held-out-speaker"}
    shared = held_out & {row["speaker"] for row in rows if row["split"] != "held-out-speaker"}
    if shared:
        raise BadInput(
            f"'{held_out_source}' cannot be held out: {', '.join(sorted(shared))} also speaks in another source.",
            "Hold out asterisk-it, asterisk-fr or asterisk-ru.",
        )


def _write_manifest(output: Path, split: str, rows: list[dict[str, Any]], sources: list[str]) -> None:
    """The rows of a split that have a text, as a dataset of the harness; no file without rows."""
    if not rows:
        return
    infos = [datasets.load_dataset(name).info for name in sources if name not in _SPOKEN_BY_HIBARI]
    spoken = [_synthetic_license([name]) for name in sources if name in _SPOKEN_BY_HIBARI]
    quoted = [f"Texts: {assets.ASSETS[TEXTS].source}."] if _QUOTED & set(sources) else []
    info = DatasetInfo(
        name=f"{output.resolve().name}-{split}",
        version="1",
        description=f"Split '{split}' of prepared speech.",
        languages=sorted({row["language"] for row in rows}),
        license=", ".join(dict.fromkeys([*sorted({info.license for info in infos}), *spoken])),
        source=", ".join(sources),
        attribution=" ".join([*(info.attribution for info in infos), *quoted]),
        synthetic=all(row["synthetic"] for row in rows),
    )
    samples = [
        Sample(
            id=row["id"],
            text=row["text"],
            language=row["language"],
            audio=row["file_name"],
            audio_sha256=file_sha256(output / row["file_name"]),
            speaker=row["speaker"],
            metadata={name: row[name] for name in ("seconds", *dialogues.COLUMNS) if name in row},
        )
        for row in rows
    ]
    lines = "".join(record.line() + "\n" for record in (info, *samples))
    write_atomically(output / f"{split}.jsonl", lines.encode())


def _hours(rows: list[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for split in SPLITS:
        mine = [row for row in rows if row["split"] == split]
        hours = round(sum(row["seconds"] for row in mine) / 3600, 3)
        found[split] = {"clips": len(mine), "hours": hours, "speakers": sorted({row["speaker"] for row in mine})}
    return found


def _licenses(sources: list[str]) -> dict[str, str]:
    return {
        name: f"{_synthetic_license([name])}, synthetic"
        if name in _SPOKEN_BY_HIBARI
        else datasets.load_dataset(name).info.license
        for name in sources
    }


def _synthetic_license(sources: list[str]) -> str:
    """Of the voice, and of the texts where they have another."""
    return "Apache-2.0" + (f" (texts: {assets.ASSETS[TEXTS].license})" if _QUOTED & set(sources) else "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True)

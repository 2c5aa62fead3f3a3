"""The list of Seed-TTS-eval, `meta.lst`: `utt|prompt_text|prompt_wav|infer_text[|gt_wav]`."""

from __future__ import annotations

from pathlib import Path

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats.rows import Row, dataset, lines_of
from speech_eval.errors import BadInput


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a list.

    The language is that of `entry`, else the name of the folder where it is `en` or `zh`; in other folders the texts
    tell it. Without a fifth field, `wavs/<utt>.wav` is the human recording where that file exists, as in the
    benchmark's own folder.
    """
    folder = path.resolve().parent.name
    language = entry.language if entry else folder if folder in ("en", "zh") else ""
    rows: list[Row] = []
    for number, line in lines_of(path):
        fields = line.strip().split("|")
        if len(fields) not in (4, 5):
            raise BadInput(
                f"{path}:{number}: {len(fields)} fields, not 4 or 5.",
                "Write utt|prompt_text|prompt_wav|infer_text, and |gt_wav where there is a recording.",
            )
        utterance, prompt_text, prompt, text, *recording = fields
        row = {"id": utterance.strip(), "prompt_text": prompt_text, "prompt_audio": prompt.strip(), "text": text}
        beside = f"wavs/{utterance.strip()}.wav"
        if recording or (path.parent / beside).is_file():
            row["audio"] = recording[0].strip() if recording else beside
        rows.append((number, row | {"language": language}))
    return dataset(path, rows, name="-".join(filter(None, ("seed-tts", language, path.stem))))

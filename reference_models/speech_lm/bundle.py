"""The codec of a speaking model: copied into the model's checkpoint, found from there, and checked to be the same."""

from __future__ import annotations

from pathlib import Path

from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.checkpoint import DESCRIPTION, WEIGHTS

CODEC = "codec"  # folder of a checkpoint


def bundled(spec: str, output: Path) -> str:
    """Copy a trained codec into the checkpoint, which then needs nothing else; any other codec stays a spec."""
    target, comma, options = spec.partition(",")
    if not (Path(target) / DESCRIPTION).is_file():
        return spec
    if Path(target).resolve() != (output / CODEC).resolve():
        (output / CODEC).mkdir(parents=True, exist_ok=True)
        for file in (DESCRIPTION, WEIGHTS, "README.md"):
            if (Path(target) / file).is_file():
                write_atomically(output / CODEC / file, (Path(target) / file).read_bytes())
    return f"{CODEC}{comma}{options}"


def codec_seen_from(directory: Path, spec: str) -> str:
    """A codec's model spec as seen from here: a path below the checkpoint `directory`, or the spec itself."""
    target, comma, options = spec.partition(",")
    beside = directory / target
    return f"{beside}{comma}{options}" if beside.is_dir() else spec


def load_same_codec(section: CodecSection, directory: Path, spec: str | None = None) -> SpeechCodec:
    """The codec of the checkpoint `directory`, or the same one elsewhere. Raises `BadInput` for other weights."""
    codec = load_codec(spec or codec_seen_from(directory, section.spec))
    digest = codec.info().weights_sha256
    if section.weights_sha256 and digest != section.weights_sha256:
        raise BadInput(
            f"{directory} was trained on codes of {section.spec} ({section.weights_sha256[:12]}); the given codec has "
            f"other weights ({str(digest)[:12]}).",
            "Name the codec it was trained with: codec=SPEC.",
        )
    return SpeechCodec(codec, section.codebook_sizes, section.frame_rates)

"""How text and codes form one sequence: the codec, the layout, the text frontend and the prompt template."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.catalog import MODELS
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.frontend import Frontend, spelled, symbols
from speech_eval.reference_models.speech_lm.layouts import pattern, ratios_of
from speech_eval.reference_models.speech_lm.vocabulary import SPECIALS, Vocabulary
from speech_eval.reference_models.training.config import Section, knob

TEXT, SPEAKER = "{text}", "{speaker}"
_NAMED = 10  # speakers that a message lists
# LLaSA and Orpheus: the text between its marks, then the mark that speech follows.
TEMPLATE = ("<text-start>", TEXT, "<text-end>", "<speech-start>")


class CodecSection(Section):
    """The codec whose codes the model speaks. Filled in when the shards are prepared."""

    spec: str = knob(..., "Model spec of the codec; a path is relative to the checkpoint.")
    codebook_sizes: tuple[PositiveInt, ...] = knob((), "Codes in each codebook.")
    frame_rates: tuple[PositiveFloat, ...] = knob((), "Frames per second of each codebook.")
    weights_sha256: str = knob("", "Digest of the codec's weights; the model refuses to speak through others.")
    sample_rate: int = knob(0, "Samples per second.")

    def seen_from(self, directory: Path) -> str:
        """The model spec as seen from here: a path below the checkpoint `directory`, or the spec itself. Raises
        `BadInput` for one that would run code or ask a server: a checkpoint may come from a stranger."""
        target, comma, options = self.spec.partition(",")
        beside = directory / target
        if not _is_data(self.spec, beside):
            raise BadInput(
                f"{directory} names the codec '{modelspec.redact(self.spec)}', which is neither a folder, a model of "
                "the catalog nor of the hub. It is not used: a checkpoint may come from a stranger.",
                "If you trust it, name the codec yourself: codec=SPEC.",
            )
        return f"{beside}{comma}{options}" if beside.is_dir() else self.spec

    def check_weights(self, digest: str | None, directory: Path) -> None:
        """Raise `BadInput` unless a codec with weights of this `digest` is the one that a checkpoint was trained on."""
        if self.weights_sha256 and digest != self.weights_sha256:
            raise BadInput(
                f"{directory} was trained on codes of {self.spec} ({self.weights_sha256[:12]}); the given codec has "
                f"other weights ({str(digest)[:12]}).",
                "Name the codec it was trained with: codec=SPEC.",
            )


def _is_data(spec: str, beside: Path) -> bool:
    """Whether a codec's spec names weights alone, without code of its own or an address in its options."""
    parsed = modelspec.parse(spec)
    known = parsed.target in MODELS or parsed.target.startswith("hf:") or Path(parsed.target).is_dir()
    plain = not any(name == "trust_remote_code" or ":" in str(value) for name, value in parsed.options.items())
    return plain and (known or beside.is_dir())


class SequenceConfig(Section):
    """How text and codes form one sequence."""

    layout: Literal["flat", "interleaved", "csm", "delay"] = knob(
        "flat",
        "`flat`: one codebook (LLaSA). `interleaved`: all codebooks in one stream (Orpheus). `csm`: one position per "
        "frame, codebook 0 by the backbone and the others by a depth decoder. `delay`: all codebooks by the backbone, "
        "each one position after the codebook before it (MusicGen, Dia).",
    )
    offsets: Literal["position", "book"] = knob(
        "position", "interleaved: ids of their own for each `position` of a step (Orpheus) or for each code`book`."
    )
    frontend: Frontend = knob(
        "bytes", "What the model reads: UTF-8 `bytes`, IPA `phonemes` by eSpeak NG, or the `tokenizer` of a text LLM."
    )
    language: str = knob(
        "en-us", "eSpeak NG's language for `phonemes` of texts that state no language, or this one without a region."
    )
    languages: tuple[str, ...] = knob(
        (), "eSpeak NG's languages that were trained on, the most frequent first; none: `language`.", filled_in=True
    )
    codec: CodecSection = knob(..., "The codec, as the recipe's part `codec` gives it.", filled_in=True)
    template: tuple[str, ...] = knob(
        TEMPLATE,
        "The prompt: `<name>` is a special token, anything else is text, with `{text}` for the words. A text with "
        "`{speaker}`, such as `{speaker}: ` before that with the words, names the speaker (Orpheus); where none is "
        "stated, it is left out.",
    )
    speakers: tuple[str, ...] = knob(
        (), "Speakers that a template with `{speaker}` has named, the most frequent first.", filled_in=True
    )

    @model_validator(mode="after")
    def _template_fits(self) -> SequenceConfig:
        specials = [piece[1:-1] for piece in self.template if is_special(piece)]
        unknown = [name for name in specials if name not in SPECIALS]
        if unknown or sum(TEXT in piece for piece in self.template) != 1:
            raise ValueError(f"template: it needs {TEXT} once and specials of {SPECIALS}, not {unknown}")
        if self.template[-1] != "<speech-start>":
            raise ValueError("template: it must end with <speech-start>")
        if any(TEXT in piece and SPEAKER in piece for piece in self.template):
            raise ValueError(
                f"template: {SPEAKER} needs a text of its own, which is left out where no speaker is stated"
            )
        return self

    @property
    def names_speakers(self) -> bool:
        """Whether the prompt names who speaks."""
        return any(SPEAKER in piece for piece in self.template)

    def filled(self, said: str, speaker: str = "") -> list[tuple[bool, str]]:
        """The template with the text and the speaker's name in it: names of special tokens (true), and texts, those
        beside each other joined."""
        found: list[tuple[bool, str]] = []
        for piece in self.template:
            if is_special(piece):
                found.append((True, piece[1:-1]))
            elif speaker or SPEAKER not in piece:
                name = spelled(speaker, self.frontend)
                text = piece.replace(TEXT, said) if TEXT in piece else piece.replace(SPEAKER, name)
                before = found.pop()[1] if found and not found[-1][0] else ""
                found.append((False, before + text))
        return found

    def speaker(self, name: str | None = None, *, prompted: bool = False) -> str:
        """The speaker whose name the prompt has: `name`; without it the most frequent one, unless a voice prompt tells
        the voice. Raises `BadInput` for one that the model has not learned."""
        if name is None:
            return self.speakers[0] if self.speakers and not prompted else ""
        if name not in self.speakers:
            listed = ", ".join(self.speakers[:_NAMED]) + (", …" if len(self.speakers) > _NAMED else "")
            raise BadInput(
                f"speaker={name}: the model has learned {listed or 'no speaker by name'}.",
                "Give one of these." if listed else "Leave the speaker out.",
            )
        return name

    @property
    def ratios(self) -> tuple[int, ...]:
        """Frames of each codebook per step of the slowest. Raises `BadInput` if the layout cannot hold the codes."""
        sizes, rates = self.codec.codebook_sizes, self.codec.frame_rates
        if not sizes or len(sizes) != len(rates):
            raise BadInput(f"{self.codec.spec}: its codebooks are not known.", "Prepare the token shards first.")
        if self.layout == "flat" and len(sizes) != 1:
            raise BadInput(
                f"The layout flat needs one codebook, {self.codec.spec} has {len(sizes)}.", "Use interleaved or csm."
            )
        ratios = ratios_of(rates)
        if self.in_rows and set(ratios) != {1}:
            raise BadInput(f"The layout {self.layout} needs codebooks of one frame rate.", "Use interleaved.")
        return ratios

    @property
    def in_rows(self) -> bool:
        """Whether a position holds one code of every codebook."""
        return self.layout in ("csm", "delay")

    @property
    def block(self) -> tuple[tuple[int, int], ...]:
        """(codebook, frame in the step) of each position of a step."""
        return pattern(self.ratios)

    @property
    def steps_per_second(self) -> float:
        """Positions of speech per second."""
        return self.codec.frame_rates[0] * (1 if self.in_rows else len(self.block))

    def table(self, base: int | None = None) -> Vocabulary:
        """The table of ids; the `base` ids of a text LLM come first if there is one."""
        sizes, block = self.codec.codebook_sizes, self.block
        own = [sizes[book] for book, _ in block] if not self.in_rows and self.offsets == "position" else sizes
        return Vocabulary.of_codec(own, base, symbols(self.frontend))


def is_special(piece: str) -> bool:
    """Whether a piece of a template is a special token."""
    return piece.startswith("<") and piece.endswith(">")

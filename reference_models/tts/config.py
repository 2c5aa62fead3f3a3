"""What a speech LM is made of. One `TTSConfig` builds one model; recipes and checkpoints carry it as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import Section
from speech_eval.reference_models.speech_lm.layouts import pattern, ratios_of
from speech_eval.reference_models.speech_lm.vocabulary import SPECIALS, Vocabulary
from speech_eval.reference_models.tts.frontend import Frontend, symbols

TEXT = "{text}"
# LLaSA and Orpheus alike: the text between its marks, then the mark that speech follows.
TEMPLATE = ("<text-start>", TEXT, "<text-end>", "<speech-start>")


class CodecSection(Section):
    """The codec whose codes are spoken: its model spec (a path is relative to the checkpoint), what its codes look
    like, and the digest of its weights. A recipe gives the spec alone; preparing the shards finds the rest."""

    spec: str
    codebook_sizes: tuple[PositiveInt, ...] = ()
    frame_rates: tuple[PositiveFloat, ...] = ()
    weights_sha256: str = ""
    sample_rate: int = 0


class LlamaCore(Section):
    """A Llama of this shape, from scratch. `tied`: embedding and head are one matrix.

    `text_stride`: rotary positions from one text id to the next, counted from where the speech starts, so that each
    lies about beside its sound and attention need not search for it (the thought of VoiceStar's PM-RoPE, arXiv
    2505.19462). None: text and speech in one count, as published LLaSA has it.
    """

    type: Literal["llama"] = "llama"
    width: PositiveInt = 256
    layers: PositiveInt = 6
    heads: PositiveInt = 4
    kv_heads: PositiveInt | None = None
    feed_forward: PositiveInt = 704
    positions: PositiveInt = 2048
    rope_theta: PositiveFloat = 10_000.0
    text_stride: PositiveFloat | None = None
    tied: bool = True


class HubCore(Section):
    """A text LLM by hub name or path, whose embedding and head are extended by speech tokens. `architecture` is its
    configuration as plain data: a checkpoint carries it, so that loading one asks no hub."""

    type: Literal["hub"] = "hub"
    name: str
    revision: str | None = None
    positions: PositiveInt = 2048
    architecture: dict[str, Any] | None = None


class DepthSection(Section):
    """The depth decoder (CSM), and the share of frames it is trained on."""

    width: PositiveInt = 128
    layers: PositiveInt = 2
    heads: PositiveInt = 4
    kv_heads: PositiveInt | None = None
    feed_forward: PositiveInt = 384
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 1 / 16
    weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5


class TTSConfig(Section):
    """`flat`: one codebook (LLaSA). `interleaved`: all codebooks in one stream, with ids of their own by `position` of
    the block (Orpheus) or by `book`. `csm`: a frame a step, codebook 0 by the backbone, the others by a depth decoder.

    `template` is the prompt: `<name>` is a special token, anything else text, with `{text}` where the words go.
    `one_voice`: trained on a single speaker, so a voice prompt has nothing to tell it; training finds that out.
    `vocabulary` is the digest of the table of ids; a checkpoint whose digest is another is not loaded.
    """

    layout: Literal["flat", "interleaved", "csm"] = "flat"
    offsets: Literal["position", "book"] = "position"
    frontend: Frontend = "bytes"
    language: str = "en-us"
    codec: CodecSection
    core: Annotated[LlamaCore | HubCore, Field(discriminator="type")] = LlamaCore()
    depth: DepthSection | None = None
    template: tuple[str, ...] = TEMPLATE
    one_voice: bool = False
    vocabulary: str = ""

    @model_validator(mode="after")
    def _fits(self) -> TTSConfig:
        if (self.layout == "csm") != (self.depth is not None):
            raise ValueError("`depth` belongs to the layout csm, and to no other")
        if (self.frontend == "tokenizer") != isinstance(self.core, HubCore):
            raise ValueError("the frontend `tokenizer` belongs to a core of type hub, and to no other")
        if self.layout == "csm" and isinstance(self.core, HubCore):
            raise ValueError("the layout csm is trained from scratch: use a core of type llama")
        if self.layout == "csm" and isinstance(self.core, LlamaCore) and self.core.text_stride is not None:
            raise ValueError("core.text_stride: in the layout csm text and speech are not of one stream")
        specials = [piece[1:-1] for piece in self.template if _is_special(piece)]
        unknown = [name for name in specials if name not in SPECIALS]
        if unknown or self.template.count(TEXT) + sum(TEXT in p for p in self.template if p != TEXT) != 1:
            raise ValueError(f"template: it needs {TEXT} once and specials of {SPECIALS}, not {unknown}")
        if self.template[-1] != "<speech-start>":
            raise ValueError("template: it must end with <speech-start>")
        return self

    @property
    def ratios(self) -> tuple[int, ...]:
        """Frames of each codebook a coarse step. Raises `BadInput` for codes this layout cannot hold."""
        sizes, rates = self.codec.codebook_sizes, self.codec.frame_rates
        if not sizes or len(sizes) != len(rates):
            raise BadInput(f"{self.codec.spec}: its codebooks are not known.", "Prepare the token shards first.")
        if self.layout == "flat" and len(sizes) != 1:
            raise BadInput(
                f"The layout flat needs one codebook, {self.codec.spec} has {len(sizes)}.", "Use interleaved or csm."
            )
        ratios = ratios_of(rates)
        if self.layout == "csm" and set(ratios) != {1}:
            raise BadInput("The layout csm needs codebooks of one frame rate.", "Use interleaved.")
        return ratios

    @property
    def block(self) -> tuple[tuple[int, int], ...]:
        """(codebook, frame in the step) of each position of a coarse step."""
        return pattern(self.ratios)

    @property
    def steps_per_second(self) -> float:
        """Positions of speech a second."""
        return self.codec.frame_rates[0] * (1 if self.layout == "csm" else len(self.block))

    def table(self, base: int | None = None) -> Vocabulary:
        """The table of ids; `base` ids of a text model come first where it has one."""
        sizes, block = self.codec.codebook_sizes, self.block
        own = [sizes[book] for book, _ in block] if self.layout != "csm" and self.offsets == "position" else sizes
        return Vocabulary.of_codec(own, base, symbols(self.frontend))


def codec_spec(config: TTSConfig, directory: Path) -> str:
    """The codec's model spec as seen from here: a path below the checkpoint `directory`, or the spec itself."""
    target, comma, options = config.codec.spec.partition(",")
    beside = directory / target
    return f"{beside}{comma}{options}" if beside.is_dir() else config.codec.spec


def _is_special(piece: str) -> bool:
    return piece.startswith("<") and piece.endswith(">")

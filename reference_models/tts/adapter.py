"""Speech LMs behind the harness's synthesizer interface: checkpoints of this project, and published ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from speech_eval.adapters.base import AudioCodec, Speech, SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.checkpoints import choose_device, load_model, locate, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Audio
from speech_eval.engine.generate.strategy import sample_seed
from speech_eval.errors import BadInput, SpeechEvalError, require
from speech_eval.records import ModelInfo

if TYPE_CHECKING:
    from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
    from speech_eval.reference_models.speech_lm.interface import Generation, SpeakingModel, Utterance
    from speech_eval.reference_models.speech_lm.rl.verifiers import By, Verifier
    from speech_eval.reference_models.speech_lm.sampling import Sampling


class SpeechLMSynthesizer(SpeechSynthesizer):
    """A speech LM and its codec. Sampling: `temperature`, `top_p`, `top_k`, `repetition_penalty`, `max_seconds`.

    With `best_of` N, N candidates are generated per request, each from its own seed, and the one is kept that `verify`
    prefers: `wer` (by `recognizer`), `sim` to the voice prompt, or `both`. A stream has one candidate. Speech that the
    model's context cuts off is a failure. Each answer says whether the model `stopped` by itself, how many `tokens` it
    took, and how many times in a row its most repeated step occurs.
    """

    _clones = True  # False: the model ignores voice prompts

    def __init__(
        self,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        repetition_penalty: float | None = None,
        max_seconds: float | None = None,
        best_of: int = 1,
        verify: str = "wer",
        recognizer: str = "whisper-tiny.en",
        device: str = "auto",
    ) -> None:
        require("torch", "tts")
        require("transformers", "tts")
        self._model, self._codec, base = self._load(choose_device(device))
        given: dict[str, Any] = {
            "temperature": temperature,
            "top_p": top_p,
            "top_k": top_k,
            "repetition_penalty": repetition_penalty,
            "max_tokens": None if max_seconds is None else self._tokens(max_seconds),
        }
        self._sampling: Sampling = replace(base, **{name: value for name, value in given.items() if value is not None})
        self._best_of = whole("best_of", best_of)
        self._verify, self._verifier = verifier_for(verify, recognizer, load=self._best_of > 1)
        self.batch_size = max(1, 8 // self._best_of)

    @abstractmethod
    def _load(self, device: str) -> tuple[SpeakingModel, SpeechCodec, Sampling]:
        """The model, its codec, and its default sampling."""

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        from speech_eval.reference_models.speech_lm.sampling import generate

        asked = [
            one if i == 0 else replace(one, seed=sample_seed(one.seed, "best-of", str(i)))
            for one in map(self._utterance, requests)
            for i in range(self._best_of)
        ]
        said, n = generate(self._model, asked, self._sampling), self._best_of
        return [self._answer(request, said[i * n : (i + 1) * n]) for i, request in enumerate(requests)]

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        if self._best_of > 1:
            raise BadInput(f"best_of={self._best_of}: a stream has one candidate.", "Stream with best_of=1.")
        from speech_eval.reference_models.speech_lm.sampling import generate_stream

        ended: list[Generation] = []

        def parts() -> Iterator[Any]:
            for books, complete in generate_stream(
                self._model, self._utterance(request), self._sampling, self._codec.chunk
            ):
                if complete is not None:
                    ended.append(complete)
                yield books

        last: Audio | None = None
        for audio in self._codec.stream(parts()):
            if last is not None:
                yield last
            if not ended:
                yield audio
                last = None
            else:
                last = audio
        if last is not None:
            yield Speech(last.samples, last.rate, ended[0].report())
        if ended and self._cut_off(ended[0]):
            raise self._endless(request, ended[0])

    def _tokens(self, seconds: float) -> int:
        number("max_seconds", seconds, above=True, unit="seconds")
        return max(1, round(seconds * self._codec.step_rate * self._model.tokenizer.tokens_per_step))

    def _utterance(self, request: SynthesisRequest) -> Utterance:
        from speech_eval.reference_models.speech_lm.interface import Utterance

        prompt = request.prompt_audio if self._clones else None
        if prompt is not None and not (request.prompt_text or "").strip():
            raise BadInput(f"{request.id}: the voice prompt has no transcript.", "Give the dataset's prompt_text.")
        return Utterance(
            request.id,
            request.text,
            request.seed,
            None if prompt is None else request.prompt_text,
            None if prompt is None else self._codec.encode(prompt),
            request.language,
        )

    def _answer(self, request: SynthesisRequest, candidates: Sequence[Generation]) -> Speech:
        audios = [self._codec.decode(generation.codes) for generation in candidates]
        ended = [i for i, one in enumerate(candidates) if not self._cut_off(one)]
        if not ended:
            raise self._endless(request, candidates[0])
        chosen, report = ended[0], candidates[ended[0]].report()
        if self._verifier is not None:
            from speech_eval.reference_models.speech_lm.rl.verifiers import best, total_reward

            prompt = request.prompt_audio
            if prompt is None and self._verify != "wer":
                raise BadInput(f"{request.id}: verify={self._verify} needs a voice prompt.", "Use verify=wer.")
            measured = [self._verifier.rewards(request.text, audio, prompt, request.language) for audio in audios]
            chosen = ended[best([measured[i] for i in ended], self._verify)]
            totals = [round(total_reward(one, self._verify), 6) for one in measured]
            report = candidates[chosen].report() | {"chosen": chosen, "rewards": totals}
        return Speech(audios[chosen].samples, audios[chosen].rate, report)

    def _cut_off(self, said: Generation) -> bool:
        """Whether the model's context ended the speech, and neither the model nor `max_seconds`."""
        return not said.stopped and len(said.prompt) + len(said.ids) >= self._model.tokenizer.context

    def _endless(self, request: SynthesisRequest, said: Generation) -> SpeechEvalError:
        context = self._model.tokenizer.context
        seconds = len(said.ids) / (self._codec.step_rate * self._model.tokenizer.tokens_per_step)
        stuck = f" It repeats one step {said.repeats} times." if said.stuck else ""
        return SpeechEvalError(
            f"{request.id}: the speech does not end within the model's {context} positions: cut off after "
            f"{seconds:.1f} s.{stuck}",
            "Split the text into sentences, or limit the speech: max_seconds.",
        )

    def _settings(self) -> dict[str, Any]:
        chosen = {"best_of": self._best_of} | ({"verify": self._verify} if self._best_of > 1 else {})
        sampling = {name: value for name, value in vars(self._sampling).items() if value is not None}
        return {**sampling, **chosen}


class ReferenceTTS(SpeechLMSynthesizer):
    """A directory with `reference.json` of kind `tts`. `codec` is a model spec (in brackets if it has options) instead
    of the codec that the checkpoint names; it must be the same codec, possibly in another place. A model of one voice
    ignores voice prompts. `speaker` is a name that the model was trained with (`{speaker}` in its template); by
    default, where there is no voice prompt, the most frequent one."""

    def __init__(self, path: str, codec: str | None = None, speaker: str | None = None, **options: Any) -> None:
        self._directory, self._spec, self._speaker = Path(path), codec, speaker
        super().__init__(**options)

    def _utterance(self, request: SynthesisRequest) -> Utterance:
        asked = super()._utterance(request)
        prompted = asked.prompt_codes is not None
        return replace(asked, speaker=self._config.speaker(self._speaker, prompted=prompted))

    def _load(self, device: str) -> tuple[SpeakingModel, SpeechCodec, Sampling]:
        from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
        from speech_eval.reference_models.speech_lm.sampling import Sampling
        from speech_eval.reference_models.tts import building

        model, self._card = building.load(self._directory)
        self._config, section = model.config, model.config.codec
        self._config.speaker(self._speaker)  # raises for one that it does not know
        self._clones = not model.config.one_voice
        codec = load_codec(self._spec or section.seen_from(self._directory))
        section.check_weights(codec.info().weights_sha256, self._directory)
        self._parameters = sum(parameter.numel() for parameter in model.parameters())
        speech = SpeechCodec(codec, section.codebook_sizes, section.frame_rates)
        return model.to(device), speech, Sampling()

    def info(self) -> ModelInfo:
        from speech_eval.reference_models.training.checkpoint import WEIGHTS

        return ModelInfo(
            spec="",
            name=str(self._card.get("name", self._directory.resolve().name)),
            interfaces=[],
            weights_sha256=weights_digest([self._directory / WEIGHTS]),
            license=str(self._card.get("license", "")),
            parameters=self._parameters,
            metadata={
                **self._settings(),
                **({"speaker": self._config.speaker(self._speaker)} if self._config.speakers else {}),
                "codec": self._codec.codec.info().weights_sha256[:12],
            },
        )


class _Published(SpeechLMSynthesizer):
    """A language model's directory or hub name, and the model spec of its codec, by default that of its release:
    `llasa,path=DIR,codec=[xcodec2,path=DIR]`."""

    family: ClassVar[str]
    codec: ClassVar[str] = ""

    def __init__(
        self,
        path: str,
        codec: str | None = None,
        revision: str | None = None,
        dtype: str = "float32",
        trust_remote_code: bool = False,
        **options: Any,
    ) -> None:
        if not (codec or self.codec):
            raise BadInput(
                f"{path}: a checkpoint of {self.family} does not say which codec it speaks.",
                "Name it: codec=SPEC, such as codec=[dac,path=DIR,n_codebooks=2].",
            )
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        self._dtype, self._spec = dtype, codec or self.codec
        super().__init__(**options)

    def _load(self, device: str) -> tuple[SpeakingModel, SpeechCodec, Sampling]:
        from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
        from speech_eval.reference_models.tts.public import FAMILIES, PublicLM

        core = load_model("AutoModelForCausalLM", self._checkpoint, dtype=self._dtype, device=device, extra="tts")
        tokenizer = load_part("AutoTokenizer", self._checkpoint.directory, extra="tts")
        speech = SpeechCodec(self._load_codec())
        family = FAMILIES[self.family](core, tokenizer, speech.codebook_sizes, speech.frame_rates)
        self._core = core
        return PublicLM(core, family), speech, family.sampling

    def _load_codec(self) -> AudioCodec:
        from speech_eval.reference_models.speech_lm.codec_stream import load_codec

        try:
            return load_codec(self._spec)
        except BadInput as error:
            if self._spec != self.codec:
                raise
            raise BadInput(
                f"The codec that {self.family} was published with: {error.problem}",
                f"{error.remedy} Or name a copy of the codec: codec=SPEC.",
            ) from error

    def info(self) -> ModelInfo:
        codec = self._codec.codec.info()
        return self._checkpoint.info(
            self._core, **self._settings(), codec=codec.name, codec_weights=codec.weights_sha256[:12]
        )


class Llasa(_Published):
    """LLaSA (`HKUSTAudio/Llasa-1B` and kin) with XCodec2."""

    family = "llasa"
    codec = "hf:HKUSTAudio/xcodec2-hf"


class Orpheus(_Published):
    """Orpheus with SNAC at 24 kHz. `voice` is a name its checkpoint knows, such as tara."""

    family = "orpheus"
    codec = "snac,path=hubertsiuzdak/snac_24khz"

    def __init__(self, path: str, codec: str | None = None, voice: str | None = None, **options: Any) -> None:
        self._voice = voice
        super().__init__(path, codec, **options)

    def _utterance(self, request: SynthesisRequest) -> Utterance:
        return replace(super()._utterance(request), speaker=self._voice or "")


class NeuTTS(_Published):
    """NeuTTS with NeuCodec."""

    family = "neutts"
    codec = "hf:neuphonic/neucodec"


class OuteTTS(_Published):
    """OuteTTS 1.0 with the Descript Audio Codec of two codebooks. It speaks in a voice of its own and ignores voice
    prompts, as it clones from words aligned with their codes: `worker:outetts` makes those by its package."""

    family = "outetts"
    _clones = False


def released_codec(family: str) -> str:
    """The model spec of the codec that a family was published with; empty where its checkpoints do not say."""
    return next(published.codec for published in _Published.__subclasses__() if published.family == family)


def verifier_for(verify: str, recognizer: str, *, load: bool) -> tuple[By, Verifier | None]:
    """What chooses among candidates, and its models if they are to be loaded. Raises `BadInput` for another choice."""
    from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier, VerifierConfig, choice_of

    by = choice_of(verify, "verify")
    if not load:
        return by, None
    voice = None if by == "wer" else "sim[cam++@zh-en-common]"
    return by, Verifier(VerifierConfig(recognizer=None if by == "sim" else recognizer, speaker=voice))

"""The texts that an alignment draws from: each checked before the first step, with a voice prompt if one is wanted."""

from __future__ import annotations

import random
from dataclasses import replace

from speech_eval.audio import load as load_audio
from speech_eval.errors import BadInput
from speech_eval.progress import Say, unsaid
from speech_eval.records import Sample
from speech_eval.reference_models.data.corpus import Clip, Corpus, LeftOut, report
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig
from speech_eval.reference_models.speech_lm.rl.rollout import Line
from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier
from speech_eval.reference_models.tts.building import TokenLM
from speech_eval.text import primary_language
from speech_eval.text.detect import UNKNOWN

_PROMPT_SECONDS = (1.0, 6.0)
_PROMPTS = 4  # recordings per voice


class Lines:
    """The texts of a corpus for a model that says up to `tokens` ids after each."""

    def __init__(
        self,
        corpus: Corpus,
        model: TokenLM,
        codec: SpeechCodec,
        config: AlignmentConfig,
        tokens: int,
        say: Say = unsaid,
    ) -> None:
        self.corpus, self.model, self.codec, self.config = corpus, model, codec, config
        self.tokens, self.say = tokens, say

    def draw(self, split: str, most: int, verifier: Verifier) -> list[Line]:
        """The texts of a split, each once, `most` of those drawn by the seed that the model can say and the verifier
        can measure; the others are named. With `voices`, each is in the voice of another recording of 1 to 6 s of its
        speaker. Raises `BadInput` if none remains."""
        unique = list({str(sample.text): sample for sample in self.corpus.speakable(split)}.values())
        drawn = random.Random(f"{self.config.seed}/{split}").sample(unique, min(most, len(unique)))
        pools = self._prompts(split) if self.config.voices else {}
        lines, left_out = [], []
        for number, sample in enumerate(drawn):
            line = self._line(sample, pools, number)
            problem = self._problem(line, verifier)
            if problem:
                left_out.append(LeftOut(sample.id, *problem))
            else:
                lines.append(line)
        report(left_out, len(drawn), f"texts of the split '{split}'", self.config.on_bad_data, self.say)
        return lines or self.corpus.refuse(f"text to speak in its split '{split}'", left_out)

    def _line(self, sample: Sample, pools: dict[str, list[Line]], number: int) -> Line:
        language = sample.language
        if language == UNKNOWN:
            language = primary_language(self.model.config.language)
        known = sample.speaker if sample.speaker in self.model.config.speakers else None
        pool = [prompt for prompt in pools.get(str(sample.speaker), ()) if prompt.id != sample.id]
        speaker = self.model.config.speaker(known, prompted=bool(pool))
        line = Line(sample.id, str(sample.text), language, speaker=speaker)
        if not pool:
            return line
        chosen = pool[number % len(pool)]
        if self.model.config.one_voice:  # it reads no prompt; the similarity to the voice is measured all the same
            return replace(line, prompt=chosen.prompt)
        return replace(line, prompt_text=chosen.text, prompt=chosen.prompt, prompt_codes=chosen.prompt_codes)

    def _problem(self, line: Line, verifier: Verifier) -> tuple[str, str] | None:
        """The kind of problem of a line, and why it cannot be used."""
        if self.config.voices and line.prompt is None:
            shortest, longest = _PROMPT_SECONDS
            return "voice", f"its speaker has no other recording of {shortest:g} to {longest:g} s"
        if problem := verifier.problem(line.text, line.language):
            return "text", problem
        try:
            ids = self.model.tokenizer.prompt_ids(
                line.text, line.prompt_text, line.prompt_codes, line.language, line.speaker
            )
        except BadInput as error:
            return "text", error.problem.rstrip(".")
        room = self.model.tokenizer.context - len(ids)
        return ("long", f"after it the model has {room} positions of {self.tokens}") if room < self.tokens else None

    def _prompts(self, split: str) -> dict[str, list[Line]]:
        """A few recordings of each speaker that can serve as a voice prompt."""
        shortest, longest = _PROMPT_SECONDS
        speakers: dict[str, list[Clip]] = {}
        for clip in self.corpus.split(split):
            if (clip.sample.text or "").strip() and shortest <= clip.seconds <= longest:
                speakers.setdefault(str(clip.sample.speaker), []).append(clip)
        found = {}
        for speaker, clips in sorted(speakers.items()):
            random.Random(f"{self.config.seed}/{speaker}").shuffle(clips)
            found[speaker] = [self._prompt(clip) for clip in clips[:_PROMPTS]]
        return found

    def _prompt(self, clip: Clip) -> Line:
        audio = load_audio(clip.path)
        codes = self.codec.encode(audio)
        return Line(clip.id, str(clip.sample.text), clip.sample.language, prompt=audio, prompt_codes=codes)

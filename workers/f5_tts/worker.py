"""F5-TTS by the package f5-tts: speech in the voice of a prompt, 24 kHz."""

from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` is a checkpoint's file, `vocab` its vocabulary, `vocoder` a folder; empty: from the hub."""

    def __init__(
        self,
        path: str = "",
        vocab: str = "",
        vocoder: Any = None,
        model: str = "F5TTS_v1_Base",
        device: Any = None,
        nfe_step: int = 32,
    ) -> None:
        from f5_tts.api import F5TTS

        self.nfe_step = nfe_step
        self.model = F5TTS(model, ckpt_file=path, vocab_file=vocab, vocoder_local_path=vocoder, device=device)

    def synthesize(self, request: Any) -> Audio:
        if request.prompt_audio is None or not request.prompt_text:
            raise ValueError("F5-TTS needs a voice prompt and its text")
        if len(request.prompt_audio.samples) > 12 * request.prompt_audio.rate:
            raise ValueError("F5-TTS takes 12 s of a prompt, and this one is longer than its text would then say")
        samples, rate, _ = self.model.infer(
            request.prompt_audio.path, request.prompt_text, request.text, nfe_step=self.nfe_step, seed=request.seed
        )
        return Audio(samples, rate)


serve(Worker)

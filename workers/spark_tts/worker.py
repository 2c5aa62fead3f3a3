"""Spark-TTS and its codec BiCodec from their repository: speech in the voice of a prompt, and codes; both 16 kHz."""

from typing import Any

from speech_eval_worker import Audio, serve


class Worker:
    """`path` is the folder of Spark-TTS-0.5B. Without a prompt it speaks in a voice that it makes up, of `gender`."""

    sample_rate = 16000

    def __init__(self, path: str, device: str = "cuda:0", gender: str = "female") -> None:
        import torch
        from cli.SparkTTS import SparkTTS

        self.torch, self.gender, self.model = torch, gender, SparkTTS(path, device=torch.device(device))
        self.codec = self.model.audio_tokenizer

    def synthesize(self, request: Any) -> Audio:
        if request.prompt_audio is None:
            voice = {"gender": self.gender, "pitch": "moderate", "speed": "moderate"}
        else:
            voice = {"prompt_speech_path": request.prompt_audio.path, "prompt_text": request.prompt_text}
        return Audio(self.model.inference(request.text, **voice), self.model.sample_rate)

    def encode(self, audio: Audio) -> Any:
        voice, semantic = (tokens.flatten() for tokens in self.codec.tokenize(audio.path))
        seconds, network = len(audio.samples) / 16000, self.codec.model
        sizes = [network.quantizer.codebook_size, network.speaker_encoder.quantizer.codebook_size]
        # The voice has a fixed number of codes: their rate is such that they count once.
        return {"codebooks": [semantic, voice], "frame_rates": [50, len(voice) / seconds], "codebook_sizes": sizes}

    def decode(self, codes: Any) -> Audio:
        semantic, voice = (self.torch.tensor([book], device=self.model.device) for book in codes["codebooks"])
        return Audio(self.codec.detokenize(voice, semantic), 16000)


serve(Worker)

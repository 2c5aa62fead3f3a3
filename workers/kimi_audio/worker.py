"""Kimi-Audio from its repository: transcripts, and spoken conversation with text and 24 kHz speech."""

from typing import Any

from speech_eval_worker import Audio, serve

# The sampling of its README.
SAMPLING = {"audio_temperature": 0.8, "audio_top_k": 10, "text_temperature": 0.0, "text_top_k": 5}


class Worker:
    """`path` is the folder of Kimi-Audio-7B-Instruct, or its name on the hub; speak=true answers in speech too."""

    def __init__(
        self, path: str, speak: bool = False, instruction: str = "Please transcribe the following audio:"
    ) -> None:
        from kimia_infer.api.kimia import KimiAudio

        self.model, self.speak, self.instruction = KimiAudio(path, load_detokenizer=speak), speak, instruction

    def transcribe(self, request: Any) -> str:
        said = [("text", self.instruction), ("audio", request.audio.path)]
        chats = [{"role": "user", "message_type": kind, "content": content} for kind, content in said]
        return str(self.model.generate(chats, output_type="text", **SAMPLING)[1]).strip()

    def reply(self, request: Any) -> Any:
        chats = [
            {"role": message["role"], "message_type": part["type"], "content": part.get("text") or part["audio"].path}
            for message in request.messages
            for part in message["content"]
        ]
        if not self.speak:
            longest = request.max_new_tokens
            return self.model.generate(chats, output_type="text", max_new_tokens=longest, **SAMPLING)[1]
        wave, text = self.model.generate(chats, output_type="both", **SAMPLING)
        return {"text": text, "audio": Audio(wave.view(-1), 24000)}


serve(Worker)

"""What the chat models of transformers share: sampling settings, the room in the context, one row of generation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from speech_eval.adapters.checkpoints import seeded
from speech_eval.adapters.options import number, whole
from speech_eval.errors import BadInput, require

_LEAST = 32  # new tokens


def sampling(temperature: float, top_p: float, top_k: int) -> dict[str, Any]:
    """Settings of `generate`: greedy at temperature 0, whatever the checkpoint's own generation config says."""
    number("temperature", temperature)
    number("top_p", top_p, 0.0, 1.0, above=True)
    whole("top_k", top_k, 0)
    if temperature > 0:
        return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": top_k}
    return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


def stated(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that are set, for the manifest."""
    return {key: value for key, value in settings.items() if value is not None}


def room_for(name: str, length: int, new: int, config: Any) -> int:
    """How many of the `new` tokens fit after `length` ones into the positions of the text model.

    Raises `BadInput` where fewer than 32 do, and fewer than asked for.
    """
    limit = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    room = new if not limit else min(new, limit - length)
    if room < min(new, _LEAST):
        raise BadInput(
            f"{name}: {length} tokens leave no room for an answer in the {limit} positions of the model.",
            "Shorten the conversation or the recording, or ask for fewer new tokens.",
        )
    return room


def generate(model: Any, inputs: dict[str, Any], seed: int, new: int, settings: dict[str, Any]) -> Any:
    """The new ids of a single row [new]: inputs on the model's device, floats in its number type, drawn from `seed`.

    Greedy answers ignore the seed, those of encoders that draw noise (VibeVoice) too.
    """
    placed = place(inputs, model)
    return _run(model, placed, seed, new, settings)[0, placed["input_ids"].shape[1] :]


def generate_stream(model: Any, inputs: dict[str, Any], seed: int, new: int, settings: dict[str, Any]) -> Iterator[int]:
    """The ids of `generate`, each as soon as it is there."""
    placed = place(inputs, model)
    return stream_ids(
        lambda streamer, stopping: _run(
            model, placed, seed, new, {**settings, "streamer": streamer, "stopping_criteria": stopping}
        )
    )


def _run(model: Any, placed: dict[str, Any], seed: int, new: int, settings: dict[str, Any]) -> Any:
    torch = require("torch", "llm")
    with torch.inference_mode(), seeded(seed if settings["do_sample"] else 0):
        return model.generate(**placed, max_new_tokens=new, **settings)


def stream_ids(generate: Callable[[Any, Any], object], heed: Callable[[int], None] | None = None) -> Iterator[int]:
    """The new ids of a single row, each as soon as it is there: those of `generate(streamer, stopping criteria)`, which
    runs in a thread. Before the next step is begun, `heed` is called there with the number of ids so far."""
    from transformers import StoppingCriteria
    from transformers.generation.streamers import BaseStreamer

    queue: SimpleQueue[int | BaseException | None] = SimpleQueue()
    left = Event()

    class Streamer(BaseStreamer):  # type: ignore[misc]
        count = -1  # the prompt comes first

        def put(self, value: Any) -> None:
            if self.count >= 0:
                queue.put(int(value.reshape(-1)[-1]))
            self.count += 1
            if heed is not None and not left.is_set():
                heed(self.count)

        def end(self) -> None:
            pass

    class Left(StoppingCriteria):  # type: ignore[misc]
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            return input_ids.new_full((len(input_ids),), left.is_set()).bool()

    def work() -> None:
        try:
            generate(Streamer(), [Left()])
            queue.put(None)
        except BaseException as error:  # raised where the ids are read
            queue.put(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.set()
        thread.join()


def growing(ids: Iterable[int], decode: Callable[[list[int]], str]) -> Iterator[str]:
    """The text so far whenever it has grown by whole characters, and at the end."""
    heard: list[int] = []
    said = ""
    for token in ids:
        heard.append(token)
        text = decode(heard)
        if text != said and not text.endswith("\ufffd"):  # half of a character
            said = text
            yield said
    yield decode(heard)


def pieces(texts: Iterable[str]) -> Iterator[str]:
    """What each text adds to the one before."""
    said = ""
    for text in texts:
        if text.startswith(said) and text != said:
            yield text[len(said) :]
            said = text


def place(inputs: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The tensors of `inputs` on the model's device, floats in its number type."""
    torch = require("torch", "llm")
    return {
        key: value.to(model.device, model.dtype) if value.is_floating_point() else value.to(model.device)
        for key, value in inputs.items()
        if isinstance(value, torch.Tensor)
    }

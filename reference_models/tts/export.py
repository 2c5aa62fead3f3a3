"""A speech LM as a directory of transformers: weights, tokenizer and chat template, with its codec beside them.

    AutoTokenizer        <text-start> t e x t <text-end> <speech-start>          the chat template's prompt
    AutoModelForCausalLM                                            → <|codes-0-17|> … <speech-end>

The description of the checkpoint stays in it, so that this project speaks from the same weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.core import LlamaCore
from speech_eval.reference_models.speech_lm.frontend import PHONEMES
from speech_eval.reference_models.speech_lm.sequence import SPEAKER, TEXT, is_special
from speech_eval.reference_models.speech_lm.vocabulary import SPECIALS
from speech_eval.reference_models.training.checkpoint import DESCRIPTION, read_description, render_card
from speech_eval.reference_models.tts.building import load
from speech_eval.reference_models.tts.model import SpeechLM

USE = """## Use with transformers

```python
tokenizer = AutoTokenizer.from_pretrained(DIRECTORY)
model = AutoModelForCausalLM.from_pretrained(DIRECTORY)
chat = [{"role": "user", "content": TEXT}]
prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")
```

TEXT is what the model reads: %s. What it generates are codes of the codec that `reference.json` names, up to the end of
speech. `speech-eval run --model DIRECTORY` does all of it.
"""
READS = {
    "bytes": "the text itself",
    "tokenizer": "the text itself",
    "phonemes": "the phonemes that eSpeak NG writes for it",
}


def export(directory: Path, output: Path) -> None:
    """Write the directory. Raises `BadInput` for a model that no class of transformers computes."""
    model, card = load(directory)
    if not isinstance(model, SpeechLM):
        raise BadInput(
            f"{directory}: no class of transformers computes the layout {model.config.layout} as it is trained here.",
            "Export a model of the layouts flat or interleaved.",
        )
    core = model.config.core
    if isinstance(core, LlamaCore) and core.text_stride is not None:
        raise BadInput(
            f"{directory}: the text is laid along the speech (core.text_stride), which transformers does not compute.",
            "Train with core.text_stride: null to export.",
        )
    model.core.generation_config.eos_token_id = model.tokenizer.end
    model.core.save_pretrained(output, max_shard_size="1000GB")
    tokenizer_of(model).save_pretrained(output)
    described = read_description(directory)
    (output / DESCRIPTION).write_text(
        json.dumps(described, ensure_ascii=False, indent=2, sort_keys=True) + "\n", "utf-8"
    )
    text = render_card("tts", described["config"], card) + "\n" + USE % READS[model.config.frontend]
    (output / "README.md").write_text(text, "utf-8")
    beside = directory / described["config"]["codec"]["spec"].partition(",")[0]
    if beside.is_dir():
        files = (file for file in beside.iterdir() if file.name in (DESCRIPTION, "README.md", "model.safetensors"))
        (output / beside.name).mkdir()
        for file in files:
            shutil.copy(file, output / beside.name / file.name)


def tokenizer_of(model: SpeechLM) -> Any:
    """The tokenizer of transformers that writes the same ids as the model's own, with its template as chat template."""
    from transformers import PreTrainedTokenizerFast

    own, config = model.tokenizer, model.config
    if own.text_tokenizer is not None:
        made: Any = own.text_tokenizer
        if getattr(config.core, "family", None) is not None:  # it has its speech tokens and its chat template
            return made
        named = _names(model)
        base = min(named.values())
        made.add_tokens([f"<|unused-{number}|>" for number in range(len(made), base)])
        made.add_tokens(sorted(named, key=lambda name: named[name]), special_tokens=True)
    else:
        named = _names(model)
        made = PreTrainedTokenizerFast(tokenizer_object=_characters(model, named), pad_token="<pad>")
    made.chat_template = _template(config.template)
    return made


def _names(model: SpeechLM) -> dict[str, int]:
    """The names of specials and codes, and their ids."""
    table = model.tokenizer.vocabulary
    codes = [(name, *table.block(name)) for name, _ in table.blocks if name.startswith("codes-")]
    specials = {f"<{name}>": table.id(name) for name in SPECIALS if name in dict(table.blocks)}
    return specials | {f"<|{name}-{code}|>": first + code for name, first, size in codes for code in range(size)}


def _characters(model: SpeechLM, named: dict[str, int]) -> Any:
    """A tokenizer of bytes, or of phonemes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    first, _ = model.tokenizer.vocabulary.block("text")
    in_bytes = model.config.frontend == "bytes"
    letters = _byte_letters() if in_bytes else PHONEMES
    made = Tokenizer(models.BPE({letter: first + i for i, letter in enumerate(letters)} | named, []))
    if in_bytes:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.decoder = decoders.ByteLevel()
    else:
        made.decoder = decoders.Fuse()
    made.add_special_tokens(sorted(named, key=lambda name: named[name]))
    return made


def _byte_letters() -> list[str]:
    """The letter by which a byte-level tokenizer writes each byte (GPT-2): itself if it can be seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + hidden.index(byte)) for byte in range(256)]


def _piece(piece: str) -> str:
    if SPEAKER in piece:
        name = piece.replace(SPEAKER, "{{ message['speaker'] }}")
        return "{% if message['speaker'] %}" + name + "{% endif %}"
    return piece if is_special(piece) else piece.replace(TEXT, "{{ message['content'] }}")


def _template(pieces: tuple[str, ...]) -> str:
    """The prompt template as a chat template: the user says the text, with the key `speaker` beside `content` where
    prompts name one, and the assistant's turn begins speech."""
    *before, start = pieces
    turn = "".join(map(_piece, before))
    user = "{% for message in messages %}{% if message['role'] == 'user' %}" + turn + "{% endif %}{% endfor %}"
    return user + "{% if add_generation_prompt %}" + start + "{% endif %}"

"""The model: features of a recording become embeddings, which replace its place among those of the text.

features [F, D] → fusion → (CTC: soft embeddings) → [n, E]  ┐
token ids → embedding of the LLM → [t, E]                    ┴→ in the order of the conversation → LLM → logits
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig, LastLayersSection, LoRASection
from speech_eval.reference_models.audio_llm.fusion import build_fusion
from speech_eval.reference_models.audio_llm.fusion.ctc import CTCHead
from speech_eval.reference_models.audio_llm.lora import Gate, LoRALinear, add_lora
from speech_eval.reference_models.audio_llm.prompts import Heard, Prompter, Segment, check_places
from speech_eval.reference_models.audio_llm.text_llm import TextLLM

IGNORED = -100  # label of a position that is not learned


@dataclass(frozen=True)
class Example:
    """A conversation and the features [frames, dim] of its recordings, in order. `examples` says that it follows the
    text examples of the prompt."""

    id: str
    segments: tuple[Segment, ...]
    features: tuple[Tensor, ...] = ()
    examples: bool = False


@dataclass(frozen=True)
class Rows:
    """A batch for the LLM, padded at the end: embeddings [B, T, E], mask [B, T], labels [B, T], and which rows hold
    audio [B]. All rows follow the prompt's examples, or none does."""

    embeddings: Tensor
    mask: Tensor
    labels: Tensor
    audio: Tensor
    examples: bool


class AudioLLM(nn.Module):
    """`config` and its text LLM. `dim` is the width of the encoder's features, `tokens` the vocabulary of the CTC head.

    The LLM is the part `llm`, of which the checkpoint holds only what may learn.
    """

    def __init__(self, config: AudioLLMConfig, text: TextLLM, dim: int, tokens: Tensor | None = None) -> None:
        super().__init__()
        self.config, self.text, self.dim = config, text, dim
        self.llm: Any = text.model
        self.prompter = Prompter(text.tokenizer, text.ends, config.prompt)
        embedding = self.llm.get_input_embeddings()
        width = int(embedding.weight.shape[1])
        with torch.no_grad():
            rms = float(embedding(torch.arange(min(4096, len(embedding.weight)))).pow(2).mean().sqrt())
        self.fusion = build_fusion(config.fusion, dim, width, rms)
        self.ctc: CTCHead | None = None
        if config.ctc is not None:
            if tokens is None:
                raise BadInput("The CTC head has no tokens to hear.", "Train on texts with words.")
            spellings = self.spellings(tokens) if config.ctc.spelled else None
            self.ctc = CTCHead(tokens, embedding(tokens).detach().clone(), rms, spellings)
        self.gate = Gate(always=not isinstance(config.adapt, LoRASection) or not config.adapt.gated)
        self._adapt()
        self._kept: list[tuple[Tensor, Tensor]] | None = None  # keys and values of the examples, while they are fixed

    def _adapt(self) -> None:
        adapt = self.config.adapt
        if isinstance(adapt, LoRASection):
            add_lora(self.llm, adapt.targets, adapt.rank, adapt.alpha, self.gate)
        if isinstance(adapt, LastLayersSection) and adapt.head and self.llm.config.tie_word_embeddings:
            head = self.llm.get_output_embeddings()
            head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
            self.llm.config.tie_word_embeddings = False

    def spellings(self, tokens: Tensor) -> list[str]:
        """How tokens [N] are written."""
        return [self.text.tokenizer.decode([token]) for token in tokens.tolist()]

    # ------------------------------------------------------------------------------------ what learns

    def part(self, name: str) -> dict[str, nn.Parameter]:
        """The parameters of a part by name: `fusion` with its CTC head, or `llm`, what of it may learn. Raises
        `BadInput` for an `llm` of which nothing may."""
        if name == "fusion":
            return {n: p for n, p in self.named_parameters() if n.startswith(("fusion.", "ctc."))}
        found = dict(self._adapted())
        if not found:
            raise BadInput(
                "The LLM has no part that is trained.", "Give model.adapt, or leave `llm` out of the stage's learn."
            )
        return found

    def _adapted(self) -> Iterator[tuple[str, nn.Parameter]]:
        adapt = self.config.adapt
        if isinstance(adapt, LoRASection):
            for name, module in self.llm.named_modules():
                if isinstance(module, LoRALinear):
                    yield from ((f"llm.{name}.down", module.down), (f"llm.{name}.up", module.up))
        elif isinstance(adapt, LastLayersSection):
            layers = next(m for m in self.llm.modules() if isinstance(m, nn.ModuleList))
            chosen = [*layers[-adapt.layers :], *([self.llm.get_output_embeddings()] if adapt.head else [])]
            wanted = {id(parameter) for module in chosen for parameter in module.parameters()}
            yield from ((n, p) for n, p in self.named_parameters() if id(p) in wanted)
        elif adapt is not None:
            yield from ((n, p) for n, p in self.named_parameters() if n.startswith("llm."))

    def learned(self) -> Learned:
        """What a checkpoint holds: everything but the encoder and the parts of the LLM that never learn."""
        return Learned(self)

    def freeze_except(self, parts: Iterable[str]) -> dict[str, dict[str, nn.Parameter]]:
        """Freeze everything but these parts; returns their parameters by part and name."""
        self.requires_grad_(False)
        found = {name: self.part(name) for name in parts}
        for parameters in found.values():
            for parameter in parameters.values():
                parameter.requires_grad_(True)
        self._kept = None
        return found

    # ------------------------------------------------------------------------------------ audio to embeddings

    def frames(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """What the fusion gives for features [frames, dim]: [B, T, E] and the numbers of positions [B]."""
        for number, one in enumerate(features):
            if one.dim() != 2 or one.shape[1] != self.dim or not len(one):
                raise BadInput(
                    f"recording {number}: features of shape {tuple(one.shape)}, not [frames, {self.dim}].",
                    f"Compute them with the encoder {self.config.encoder.spec}.",
                )
        device = self.fusion.norm.weight.device
        lengths = torch.tensor([len(one) for one in features], device=device)
        padded = nn.utils.rnn.pad_sequence([one.to(device, torch.float32) for one in features], batch_first=True)
        positions, counts = self.fusion(padded, lengths)
        return positions, counts

    def hear(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings [n, E] of each recording."""
        if not features:
            return []
        positions, counts = self.frames(features)
        if self.ctc is not None and self.config.ctc is not None and self.config.ctc.soft:
            return self.ctc.soft(positions, counts)
        return [row[:count] for row, count in zip(positions, counts.tolist(), strict=True)]

    def embed(self, ids: Sequence[int]) -> Tensor:
        """The LLM's embeddings [t, E] of token ids."""
        table = self.llm.get_input_embeddings()
        found: Tensor = table(torch.tensor(ids, device=table.weight.device, dtype=torch.long))
        return found

    def rows(self, examples: Sequence[Example]) -> Rows:
        """The batch that the LLM reads. Raises `BadInput` naming an example without a place for each recording, or one
        that is longer than the LLM reads."""
        for example in examples:
            check_places(example.id, example.segments, len(example.features))
        heard = iter(self.hear([features for example in examples for features in example.features]))
        built = [self._row(example, heard) for example in examples]
        pad = nn.utils.rnn.pad_sequence
        labels = pad([label for _, label in built], batch_first=True, padding_value=IGNORED)
        embeddings = pad([row for row, _ in built], batch_first=True)
        lengths = torch.tensor([len(row) for row, _ in built], device=embeddings.device)
        mask = torch.arange(embeddings.shape[1], device=embeddings.device) < lengths[:, None]
        audio = torch.tensor([bool(example.features) for example in examples], device=embeddings.device)
        return Rows(embeddings, mask, labels.to(embeddings.device), audio, examples[0].examples)

    def _row(self, example: Example, heard: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
        if not example.segments:
            raise BadInput(f"{example.id}: there is nothing to read.", "Give at least one message.")
        parts, labels = [], []
        for segment in example.segments:
            part = next(heard) if isinstance(segment, Heard) else self.embed(segment.ids)
            learned = not isinstance(segment, Heard) and segment.learned
            parts.append(part)
            labels += list(segment.ids) if learned else [IGNORED] * len(part)  # type: ignore[union-attr]
        row = torch.cat(parts)
        limit, before = self.text.positions, len(self.prompter.prefix) if example.examples else 0
        if limit is not None and len(row) + before > limit:
            raise BadInput(
                f"{example.id}: {len(row) + before} positions; the LLM reads {limit}.",
                "Shorten the recording or the conversation.",
            )
        return row, torch.tensor(labels)

    # ------------------------------------------------------------------------------------ through the LLM

    def predict(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Logits [N, vocabulary] of the N learned tokens of all rows, in order, and the tokens [N]."""
        cache = self.cache(len(rows.embeddings)) if rows.examples else None
        targets = rows.labels[:, 1:]
        places = (targets != IGNORED).any(0).nonzero()[:, 0]
        logits = self.run(rows, cache, keep=places)
        wanted = targets[:, places]
        learned = wanted != IGNORED
        return logits[learned], wanted[learned]

    def run(
        self,
        rows: Rows,
        cache: Any = None,
        keep: Tensor | int = 0,
        seen: Tensor | None = None,
        places: Tensor | None = None,
    ) -> Tensor:
        """Logits of a batch at the positions `keep` (0: all), behind what `cache` holds. In an answer, `seen` [B, ..]
        masks what was read since the examples and `places` [B, T] are the positions of the new tokens."""
        before = 0 if cache is None else cache.get_seq_length()
        if seen is None or places is None:
            seen = rows.mask
            places = before + torch.arange(seen.shape[1], device=seen.device).expand(len(seen), -1)
        all_seen = before + rows.embeddings.shape[1] - seen.shape[1]
        mask = torch.cat([seen.new_ones(len(seen), all_seen), seen], dim=1).long()
        with self.gate.open(rows.audio):
            out = self.llm(
                inputs_embeds=rows.embeddings,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=keep,
            )
        found: Tensor = out.logits
        return found

    def cache(self, batch: int) -> Any:
        """Keys and values of the prompt's examples for `batch` rows, which the base LLM read once."""
        cache = self.empty_cache()
        if not self.prompter.prefix:
            return cache
        changing = any(p.requires_grad for n, p in self._adapted() if not n.endswith((".up", ".down")))
        where = (self.fusion.norm.weight.device, self._dtype())
        if self._kept is None or changing or (self._kept[0][0].device, self._kept[0][0].dtype) != where:
            with torch.no_grad():
                read = self.empty_cache()
                self.llm(inputs_embeds=self.embed(self.prompter.prefix)[None], past_key_values=read, use_cache=True)
                self._kept = [(layer.keys, layer.values) for layer in read.layers]
        for index, (keys, values) in enumerate(self._kept):
            cache.update(keys.expand(batch, -1, -1, -1), values.expand(batch, -1, -1, -1), index)
        return cache

    def empty_cache(self) -> Any:
        """Room for the keys and values of conversations without examples."""
        return DynamicCache(config=self.llm.config)

    def _dtype(self) -> torch.dtype:
        device = self.fusion.norm.weight.device.type
        if torch.is_autocast_enabled(device):
            return torch.get_autocast_dtype(device)
        found: torch.dtype = self.llm.dtype
        return found


class Learned:
    """The state of what learns, as the training state and the checkpoint keep it."""

    def __init__(self, model: AudioLLM) -> None:
        self.model = model
        self.names = {n for n, _ in model._adapted()}

    def state_dict(self) -> dict[str, Tensor]:
        state = self.model.state_dict()
        return {n: t for n, t in state.items() if n.startswith(("fusion.", "ctc.")) or n in self.names}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Raises `RuntimeError` for names or shapes that are not those of the model."""
        own = self.state_dict()
        if own.keys() != state_dict.keys():
            other = sorted(own.keys() ^ state_dict.keys())
            raise RuntimeError(f"{len(other)} tensors differ, {other[0]} first")
        self.model.load_state_dict(state_dict, strict=False)

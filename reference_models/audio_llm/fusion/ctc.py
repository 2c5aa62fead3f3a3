"""CTC over the LLM's own tokens: a fusion learns to listen without a step through the LLM.

    logits of a token = z · its embedding · exp(s)      logit of the blank = linear(z)

Embeddings are the LLM's, frozen; only the tokens that occur in the training texts can be heard. With soft embeddings
the LLM gets Σ p(token) · embedding per token that was heard, no position for a blank: its audio is as long as its text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.audio_llm.fusion.spelling import Spelling
from speech_eval.reference_models.training.precision import in_float32

_NORM = 40.0  # s starts at log(1 / (40 · rms²)), at which the logits of unit directions are a few nats apart


class CTCHead(nn.Module):
    """`tokens` [V] are ids of the LLM in ascending order and `embeddings` [V, E] theirs; label V is the blank."""

    tokens: Tensor
    embeddings: Tensor

    def __init__(self, tokens: Tensor, embeddings: Tensor, rms: float, spellings: Sequence[str] | None = None) -> None:
        super().__init__()
        self.register_buffer("tokens", tokens)
        self.register_buffer("embeddings", embeddings, persistent=False)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / (_NORM * rms**2))))
        self.silence = nn.Linear(embeddings.shape[1], 1)
        self.spelling = None if spellings is None else Spelling(spellings, embeddings.shape[1], rms)
        self._whole: tuple[tuple[int, torch.device], Tensor] | None = None

    def train(self, mode: bool = True) -> CTCHead:
        """As for every module; what was kept is found anew, for fused optimizers change weights unnoticed."""
        self._whole = None
        return super().train(mode)

    def keys(self, tokens: Tensor | None = None) -> Tensor:
        """What tokens [N] (all if None) are found by, [N, E]: their embeddings, and those of their letters."""
        if self.spelling is None:
            return self.embeddings if tokens is None else self.embeddings[tokens]
        if tokens is not None:
            return self.embeddings[tokens] + self.spelling(tokens)
        weight = self.spelling.weight
        state = (weight._version, weight.device)  # torch counts the changes that a loaded state makes
        learning = weight.requires_grad and torch.is_grad_enabled()
        if self._whole is not None and self._whole[0] == state and not learning:
            return self._whole[1]
        whole = self.embeddings + self.spelling(torch.arange(self.blank, device=weight.device))
        self._whole = None if learning else (state, whole)
        return whole

    @property
    def blank(self) -> int:
        return len(self.tokens)

    def labels(self, ids: Sequence[int]) -> Tensor | None:
        """Labels of a text's token ids; None if one of them is not in the vocabulary."""
        wanted = torch.tensor(ids, device=self.tokens.device)
        found = torch.searchsorted(self.tokens, wanted).clamp(max=self.blank - 1)
        return found if bool((self.tokens[found] == wanted).all()) else None

    def logits(self, z: Tensor) -> Tensor:
        """[…, E] to […, V + 1]."""
        return torch.cat((z @ self.keys().T * self.scale.exp(), self.silence(z)), dim=-1)

    def loss(self, z: Tensor, counts: Tensor, targets: Sequence[Tensor], negatives: int | None = None) -> Tensor:
        """CTC in nats per label, over the batch: z [B, T, E] of `counts` [B] positions. A text that is longer than its
        audio counts as zero. With `negatives`, see `_shortlist`."""
        shortlist, targets = self._shortlist(targets, negatives)
        logp = self._log_softmax(z, *shortlist)
        lengths = torch.tensor([len(target) for target in targets])
        blank = logp.shape[-1] - 1
        nats = F.ctc_loss(
            logp.transpose(0, 1), torch.cat(list(targets)), counts.cpu(), lengths, blank, "sum", zero_infinity=True
        )
        return nats / lengths.sum()

    def _shortlist(
        self, targets: Sequence[Tensor], negatives: int | None
    ) -> tuple[tuple[Tensor, Tensor], Sequence[Tensor]]:
        """The tokens that a loss is computed over, what is added to the logit of each, and the targets among them.

        All tokens, or those of the targets and `negatives` others drawn at random, each of which stands for as many as
        were not drawn (the softmax's sum is right on average): half the cost per step with a large vocabulary.
        """
        everything = torch.arange(self.blank, device=self.tokens.device)
        wanted = torch.cat(list(targets)).unique()
        others = self.blank - len(wanted)
        if negatives is None or negatives >= others:
            return (everything, torch.zeros(self.blank, device=everything.device)), targets
        left = torch.ones(self.blank, dtype=torch.bool, device=everything.device)
        left[wanted] = False
        drawn = everything[left][torch.randperm(others, device=everything.device)[:negatives]]
        more = torch.zeros(len(wanted) + negatives, device=everything.device)
        more[len(wanted) :] = math.log(others / negatives)
        return (torch.cat([wanted, drawn]), more), [torch.searchsorted(wanted, target) for target in targets]

    def frame_loss(self, z: Tensor, counts: Tensor, labels: Sequence[Tensor], negatives: int | None = None) -> Tensor:
        """Cross-entropy in nats per position, of which each has a label, `blank` among them: the start from which CTC
        leaves its plateau. z [B, T, E] of `counts` [B] positions; see `spread` and `placed`."""
        spoken = [row[row != self.blank] for row in labels]
        (tokens, more), _ = self._shortlist(spoken, negatives)
        heard = torch.cat([row[: int(n)] for row, n in zip(z, counts, strict=True)])
        wanted = torch.cat(list(labels)).to(z.device)
        found = torch.full((self.blank + 1,), len(tokens), device=z.device)
        found[tokens] = torch.arange(len(tokens), device=z.device)
        return F.nll_loss(self._log_softmax(heard, tokens, more), found[wanted])

    @in_float32
    def _log_softmax(self, z: Tensor, tokens: Tensor, more: Tensor) -> Tensor:
        logits = z @ self.keys(tokens).T * self.scale.exp() + more
        return torch.cat([logits, self.silence(z)], dim=-1).log_softmax(-1)

    def soft(self, z: Tensor, counts: Tensor) -> list[Tensor]:
        """Soft embeddings [n, E] of each recording, n ≥ 1: one per run of equal labels that are not blank. If all are
        blank, of the position that is so the least."""
        logits = self.logits(z).float()
        best = logits.argmax(-1)
        found = []
        for row, labels, count in zip(logits, best, counts.tolist(), strict=True):
            kept = (labels[:count] != self.blank).nonzero()[:, 0]
            if not len(kept):
                kept = row[:count, self.blank].argmin()[None]
            labels = labels[kept]
            new = torch.ones_like(kept, dtype=torch.bool)
            new[1:] = (labels[1:] != labels[:-1]) | (kept[1:] != kept[:-1] + 1)
            run = new.cumsum(0) - 1
            chances = row[kept, : self.blank].softmax(-1)
            means = torch.zeros(int(run[-1]) + 1, self.blank, device=z.device).index_add(0, run, chances)
            means = means / torch.bincount(run)[:, None]
            found.append(means @ self.embeddings)
        return found

    def argmax(self, z: Tensor, counts: Tensor) -> list[list[int]]:
        """Token ids of each recording by the best path."""
        best = self.logits(z).argmax(-1)
        paths = [row[:count].unique_consecutive() for row, count in zip(best, counts.tolist(), strict=True)]
        return [self.tokens[path[path != self.blank]].tolist() for path in paths]


def spread(target: Tensor, sizes: Sequence[int], positions: int) -> Tensor:
    """A label for each of `positions`: token k takes a share of them in proportion to its `sizes[k]` characters."""
    ends = torch.tensor(sizes).cumsum(0)
    middles = (torch.arange(positions) + 0.5) / positions * ends[-1]
    return target[torch.searchsorted(ends, middles, right=True).clamp(max=len(target) - 1)]


def placed(words: Sequence[tuple[Tensor, Sequence[int], float, float]], positions: int, blank: int) -> Tensor:
    """A label for each of `positions`, from the times of the words: (labels, characters of each, start, end), times as
    shares of the audio. Positions outside all words are blank."""
    found = torch.full((positions,), blank)
    for labels, sizes, start, end in words:
        first, last = round(start * positions), max(round(end * positions), round(start * positions) + 1)
        found[first:last] = spread(labels, sizes, last - first)[: len(found[first:last])]
    return found

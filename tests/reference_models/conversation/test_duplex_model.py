"""The duplex model: what it sees, what a step costs, and that streaming changes nothing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from support.tiny_duplex import tiny_model  # noqa: E402
from transformers import DynamicCache  # noqa: E402

from speech_eval.reference_models.conversation.duplex.model import DuplexLM  # noqa: E402
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY  # noqa: E402

torch.set_num_threads(1)


def rows(model: DuplexLM, frames: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.stack(
        [torch.randint(0, len(table), (1, frames), generator=draw) for table in model.embeddings], dim=-1
    )


@torch.no_grad()
def test_row_by_row_gives_what_the_whole_gives_beyond_the_window_too() -> None:
    model = tiny_model()
    given, cache = rows(model, 40), DynamicCache()  # the window is 16
    whole = model.states(given)
    for position in range(40):
        assert torch.allclose(model.advance(given[:, position], cache, position), whole[:, position], atol=1e-5)
    assert cache.layers[0].keys.shape[-2] == 16


@torch.no_grad()
def test_what_the_user_says_later_changes_nothing_before() -> None:
    model = tiny_model()
    given, other = rows(model, 12), rows(model, 12, seed=1)
    changed = given.clone()
    changed[:, 7:, 4:] = other[:, 7:, 4:]
    before, after = model.states(given), model.states(changed)
    assert torch.equal(before[:, :7], after[:, :7]) and not torch.allclose(before[:, 7], after[:, 7])


@torch.no_grad()
def test_the_agents_codes_follow_from_the_word_it_writes() -> None:
    model = tiny_model()
    hidden = model.states(rows(model, 3))[:, -1]

    def logits(word: int) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        model.speak(hidden, lambda _: torch.tensor([word]), lambda found: (seen.append(found), found.argmax(-1))[1])
        return seen

    assert len(logits(5)) == model.books and not torch.allclose(logits(5)[0], logits(6)[0])


def test_each_kind_has_its_weight_in_the_loss() -> None:
    model = tiny_model()
    given = rows(model, 6)
    given[0, :, 0] = torch.tensor([model.pad, model.epad, 3, model.pad, model.pad, EMPTY])
    given[0, 0, 2:4] = EMPTY
    counts = model.counts(given)
    assert counts == {"text": 2, "pad": 3, "semantic": 6, "acoustic": 10}
    nats = {kind: torch.tensor(float(count)) for kind, count in counts.items()}  # one nat per id
    assert float(model.loss(nats, counts, semantic=100.0, pad=0.5)) == pytest.approx(2.0)
    nats["semantic"] *= 2
    assert float(model.loss(nats, counts, semantic=100.0, pad=0.5)) == pytest.approx(1 + (200 + 2) / 102)
    nats["pad"] *= 2
    text = (2 + 0.5 * 6) / (2 + 0.5 * 3)
    assert float(model.loss(nats, counts, semantic=100.0, pad=0.5)) == pytest.approx(text + (200 + 2) / 102)


@torch.no_grad()
def test_the_nats_of_a_batch_are_those_of_its_dialogues() -> None:
    model = tiny_model()
    long, short = rows(model, 9), rows(model, 5, seed=1)
    start = model.start[None]
    alone = [model(one, start) for one in (long, short)]
    padded = torch.cat([short, torch.full((1, 4, short.shape[-1]), EMPTY)], dim=1)
    together = model(torch.cat([long, padded]), start.expand(2, -1))
    for kind, value in together.items():
        assert float(value) == pytest.approx(float(alone[0][kind] + alone[1][kind]), rel=1e-4)


def test_a_share_of_frames_estimates_the_codes_of_all() -> None:
    model = tiny_model(depth={"width": 32, "layers": 1, "heads": 2, "feed_forward": 64, "share": 0.25})
    given = rows(model, 64)
    with torch.no_grad():
        whole = float(model(given, model.start[None])["acoustic"])
        model.train()
        torch.manual_seed(0)
        drawn = [float(model(given, model.start[None])["acoustic"]) for _ in range(40)]
    assert sum(drawn) / len(drawn) == pytest.approx(whole, rel=0.03)

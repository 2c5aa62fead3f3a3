"""GRPO and DPO on a tiny speaking model: gradients where they belong, rewards that rise, runs that resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from support.tiny_speech import codec_of, save_codec, save_start, spoken_tones, tiny_config, tiny_lm  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe  # noqa: E402
from speech_eval.reference_models.speech_lm.interface import Generation, Utterance  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.dpo import DPO, dpo_loss  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.grpo import GRPO, advantages, grpo_loss  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.guards import pitch_spread  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.pairs import PAIRS, pairs_of  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.rewards import Reward  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.rollout import Line, Rollout, log_probs  # noqa: E402
from speech_eval.reference_models.speech_lm.rl.train import Aligner, AlignmentLog, align  # noqa: E402
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate  # noqa: E402
from speech_eval.reference_models.training.loop import Loop  # noqa: E402
from speech_eval.reference_models.tts.align import train_recipe  # noqa: E402

torch.set_num_threads(1)
LINES = [Line(str(number), text) for number, text in enumerate(("one", "two", "three", "four"))]
HALF = 32  # codes below it are liked


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_codec(tmp_path_factory.mktemp("codec") / "codec")


@pytest.fixture
def model(codec: Path) -> Any:
    return tiny_lm(tiny_config(codec_of(codec), str(codec), positions=256))


def low_codes(line: Line, said: Generation) -> dict[str, Reward]:
    """The toy's reward: the share of codes from the lower half of the book."""
    codes = said.codes[0]
    return {"duration": Reward(float((codes < HALF).mean()) if len(codes) else 0.0, True)}


def settings(method: str = "grpo", **change: Any) -> AlignmentConfig:
    base: dict[str, Any] = {
        "steps": 12,
        "texts_per_step": 2,
        "learning_rate": 2e-2,
        "beta": 0.02,
        "rewards": {"duration": 1.0},
    }
    return AlignmentConfig.model_validate({"method": method, "start": "-", **base, **change})


def aligner(model: Any, reward: Any = low_codes, config: AlignmentConfig | None = None) -> Aligner:
    config = config or settings()
    return {"grpo": GRPO, "dpo": DPO}[config.method](model, LINES, reward, config, sampling=Sampling(max_tokens=40))


def run_of(found: Aligner, output: Path) -> list[dict[str, float]]:
    """All steps of an aligner; the values of each step."""
    loop = Loop(found.config, output, AlignmentLog(), name="toy")
    align(found, loop, dict)
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def weights(model: Any) -> Any:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


# ------------------------------------------------------------------------------------------------- maths


@pytest.mark.parametrize(("layout", "text_stride"), [("flat", None), ("interleaved", None), ("flat", 2.5)])
def test_probabilities_are_those_of_the_draw(layout: str, text_stride: float | None, tmp_path: Path) -> None:
    path = save_codec(tmp_path, layout)
    model = tiny_lm(tiny_config(codec_of(path), str(path), layout, 128, text_stride))
    tokenizer = model.tokenizer
    drawn = generate(model, [Utterance("a", "Hi", 1), Utterance("b", "Hello you", 2)], Sampling(max_tokens=30))
    with torch.no_grad():
        found, mask = log_probs(model, drawn, temperature=0.7)
        for row, item in enumerate(drawn):
            ids, tail = torch.from_numpy(item.prompt), [*item.ids, *([tokenizer.end] if item.stopped else [])]
            assert int(mask[row].sum()) == len(tail) and not found[row, len(tail) :].any()
            for step, token in enumerate(tail):
                allowed = tokenizer.allowed(step)
                odds = (model.head(model.hidden(ids[None]))[0, -1][allowed] / 0.7).log_softmax(0)
                assert float(odds[allowed == token]) == pytest.approx(float(found[row, step]), abs=1e-4)
                ids = torch.cat([ids, torch.tensor([token])])


def test_advantages_are_standard_scores_within_a_group() -> None:
    rewards, kept = torch.tensor([[0.0, 1.0, 0.5, 0.5]]), torch.ones(1, 4, dtype=torch.bool)
    found = advantages(rewards, kept)
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(found.square().mean()) == pytest.approx(1.0, abs=1e-5)
    assert advantages(rewards, kept, scale=False)[0].tolist() == [-0.5, 0.5, 0.0, 0.0]


def test_what_was_cut_off_counts_neither_in_the_mean_nor_by_itself() -> None:
    rewards, kept = torch.tensor([[0.0, 1.0, 9.0]]), torch.tensor([[True, True, False]])
    assert advantages(rewards, kept)[0].tolist() == [-1.0, 1.0, 0.0]


def both_rewards(line: Line, said: Generation) -> dict[str, Reward]:
    """A reward that varies from 0 to 1 and one that varies a hundred times less, in the other order."""
    place = (int(said.codes[0][0]) if len(said.codes[0]) else 0) / 64
    return {"duration": Reward(place, True), "cer": Reward(0.5 - place / 100, True)}


def test_each_reward_counts_by_its_weight_however_little_it_varies(model: Any) -> None:
    change = {"texts_per_step": 2, "group": 6, "rewards": {"duration": 1.0, "cer": 1.0}}
    apart = aligner(model, both_rewards, settings(compare="each", **change))
    assert isinstance(apart, GRPO)
    groups = apart.rollouts(0)
    kept = torch.ones(2, 6, dtype=torch.bool)
    assert apart.gains(groups, kept).abs().max() < 1e-3, "equal weights of opposite orders cancel"
    uneven = aligner(
        model, both_rewards, settings(compare="each", **change | {"rewards": {"duration": 1.0, "cer": 2.0}})
    )
    assert isinstance(uneven, GRPO)
    found, alone = uneven.gains(groups, kept), torch.tensor([[one.rewards["cer"].value for one in g] for g in groups])
    assert float(found.mean()) == pytest.approx(0.0, abs=1e-5) and float(found.std(unbiased=False)) == pytest.approx(
        1.0
    )
    assert torch.allclose(found, advantages(alone, kept), atol=1e-3), "the heavier reward decides"
    with pytest.raises(ValueError, match="form: harmonic joins rewards"):
        settings(compare="each", form="harmonic")


def test_a_mean_over_rollouts_gives_long_and_short_ones_the_same_share(model: Any) -> None:
    drawn = torch.tensor([[True, True, True, True], [True, False, False, False]])
    by_token, by_rollout = (aligner(model, config=settings(average=name)) for name in ("token", "sequence"))
    assert isinstance(by_token, GRPO) and isinstance(by_rollout, GRPO)
    assert (by_token.shares(drawn, 5, 2) * drawn.sum(1)).tolist() == pytest.approx([0.8, 0.2])
    assert (by_rollout.shares(drawn, 5, 2) * drawn.sum(1)).tolist() == pytest.approx([0.5, 0.5])


def test_the_learning_rate_warms_up_and_falls(model: Any) -> None:
    found = aligner(model, config=settings(warmup_steps=4, final_share=0.1))
    rates = []
    for number, share in ((0, 0.0), (3, 0.25), (11, 1.0)):
        found.set_rate(number, share)
        rates.append(found.optimizer.param_groups[0]["lr"] / found.config.learning_rate)
    assert rates[0] == pytest.approx(0.25) and 0.8 < rates[1] < 1.0 and rates[2] == pytest.approx(0.1)


def test_equal_rewards_have_no_advantage() -> None:
    assert not advantages(torch.full((2, 3), 0.1), torch.ones(2, 3, dtype=torch.bool)).any()


def test_the_ratio_is_bounded_where_a_gain_would_push_it_further() -> None:
    old, start, drawn = torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)

    def slope(log_ratio: float, gain: float) -> float:
        new = torch.full((1, 1), log_ratio, requires_grad=True)
        grpo_loss(new, old, start, drawn, torch.tensor([gain]), (0.2, 0.2), beta=0.0)[0].backward()
        return float(new.grad)  # type: ignore[arg-type]

    assert slope(0.0, 1.0) == pytest.approx(-1.0)
    assert slope(0.5, 1.0) == 0.0 and slope(-0.5, -1.0) == 0.0
    assert slope(-0.5, 1.0) < 0.0 < slope(0.5, -1.0)


def test_the_kl_term_is_zero_at_the_start_and_pulls_back_to_it() -> None:
    drawn = torch.ones(1, 2, dtype=torch.bool)
    new = torch.tensor([[0.0, 0.5]], requires_grad=True)
    loss, kl, _ = grpo_loss(new, new.detach(), torch.zeros(1, 2), drawn, torch.zeros(1), (0.2, 0.2), beta=1.0)
    loss.backward()
    assert float(kl) == pytest.approx(np.exp(-0.5) + 0.5 - 1.0)
    assert new.grad is not None and new.grad[0, 0] == 0.0 and new.grad[0, 1] > 0.0


def test_dpo_prefers_the_chosen() -> None:
    best, worst = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    loss = dpo_loss(best, worst, beta=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(3 * np.log(2))
    assert (best.grad < 0).all() and (worst.grad > 0).all()  # type: ignore[operator]


# ------------------------------------------------------------------------------------------------- learning


def same(line: Line, said: Generation) -> dict[str, Reward]:
    return {"duration": Reward(0.25, True)}


@pytest.mark.parametrize("method", ["grpo", "dpo"])
def test_groups_of_equal_rewards_change_nothing(method: str, model: Any) -> None:
    before = weights(model)
    row = aligner(model, same, settings(method, steps=1)).step(0)
    assert row["gradient"] == 0.0 and torch.equal(weights(model), before)


@pytest.mark.parametrize("method", ["grpo", "dpo"])
def test_rollouts_that_were_cut_off_change_nothing(method: str, model: Any) -> None:
    run = aligner(model, low_codes, settings(method, steps=1))
    run.sampling = Sampling(max_tokens=1)
    before = weights(model)
    row = run.step(0)
    assert row["stopped"] == 0.0 and row["gradient"] == 0.0 and torch.equal(weights(model), before)


@pytest.mark.parametrize(("method", "measured"), [("grpo", {"kl", "clipped"}), ("dpo", {"preferred", "margin"})])
def test_a_step_that_learned_nothing_enters_no_average_of_what_is_learned(
    method: str, measured: set[str], model: Any
) -> None:
    assert not measured & aligner(model, same, settings(method)).step(0).keys()
    assert measured <= aligner(model, low_codes, settings(method)).step(0).keys()


@pytest.mark.parametrize("method", ["grpo", "dpo"])
def test_the_reward_rises(method: str, model: Any, tmp_path: Path) -> None:
    run = aligner(model, low_codes, settings(method, beta=0.02 if method == "grpo" else 0.2))
    rows = run_of(run, tmp_path)
    rewards = [row["reward"] for row in rows]
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.1
    if method == "dpo":
        assert rows[-1]["preferred"] > 0.5 and rows[-1]["margin"] > 0.0
    else:
        assert rows[0]["kl"] == pytest.approx(0.0, abs=1e-6) and rows[-1]["kl"] > 0.0


def test_a_heavier_kl_term_keeps_the_model_nearer_to_its_start(codec: Path, tmp_path: Path) -> None:
    moved = []
    for beta in (0.0, 5.0):
        fresh = tiny_lm(tiny_config(codec_of(codec), str(codec), positions=256))
        rows = run_of(aligner(fresh, low_codes, settings(beta=beta, steps=3, updates=2)), tmp_path / str(beta))
        moved.append(rows[-1]["kl"])
    assert moved[1] < moved[0]


def test_a_rollout_that_was_not_recognized_gets_the_least(model: Any) -> None:
    def half_valid(line: Line, said: Generation) -> dict[str, Reward]:
        valid = len(said.ids) % 2 == 0
        return {"duration": Reward(1.0 if valid else 0.0, valid)}

    run = aligner(model, half_valid)
    found = [item for group in run.rollouts(0) for item in group]
    assert {item.reward.valid for item in found} == {True, False}
    assert all(item.reward.value == float(item.reward.valid) for item in found)


def test_the_best_and_the_worst_of_a_group_make_the_pair(model: Any) -> None:
    said = generate(model, [Utterance(str(i), "Hi", i) for i in range(4)], Sampling(max_tokens=80))

    def group(*rewards: float) -> list[Rollout]:
        return [Rollout(LINES[0], item, {}, Reward(value, True)) for item, value in zip(said, rewards, strict=False)]

    ended = [index for index, item in enumerate(said) if item.stopped]
    assert len(ended) >= 2
    values = (0.2, 0.9, 0.1, 0.5)
    order = sorted(ended, key=lambda index: -values[index])
    assert pairs_of(group(*values)) == [(said[order[0]], said[order[-1]])]
    assert pairs_of(group(0.5, 0.5, 0.5, 0.5)) == []
    several = pairs_of(group(*values), 5)
    assert [pair[0] for pair in several] == [said[index] for index in order[: len(order) // 2]]
    assert [pair[1] for pair in several] == [said[index] for index in order[::-1][: len(order) // 2]]


# ------------------------------------------------------------------------------------------------- recipes


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., ResolvedRecipe]:
    start = save_start(tmp_path / "start")

    def make(**change: Any) -> ResolvedRecipe:
        training = {
            "method": "grpo",
            "start": str(start),
            "steps": 4,
            "texts_per_step": 2,
            "group": 3,
            "learning_rate": 1e-3,
            "max_seconds": 1.0,
            "rewards": {"duration": 1.0},
            "verifier": {"recognizer": None},
            "guards": {"recognizer": None},
            "validate_every": 2,
            **change,
        }
        evaluation = {"task": "seed-tts"}
        return ResolvedRecipe.model_validate(
            {"name": "tts/toy", "size": "smoke", "data": {}, "model": {}}
            | {"training": training, "evaluation": evaluation}
        )

    return make


@pytest.mark.parametrize("method", ["grpo", "dpo"])
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(
    method: str, recipe: Callable[..., ResolvedRecipe], tmp_path: Path
) -> None:
    data, size = spoken_tones(tmp_path / "data"), recipe(method=method, voices=True)
    card = train_recipe(size, data, tmp_path / "whole")
    train_recipe(size, data, tmp_path / "parts", stop_at=3)
    again = train_recipe(size, data, tmp_path / "parts", resume=True)
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert card["guards"] == again["guards"]
    logs = [[json.loads(line) for line in (tmp_path / name / "log.jsonl").open()] for name in ("whole", "parts")]
    for row in (*logs[0], *logs[1]):
        row.pop("seconds")
    assert logs[0] == logs[1] and [row["step"] for row in logs[0]] == [1, 2, 3, 4]


def test_pairs_are_written_once_and_an_interrupted_draw_goes_on(
    recipe: Callable[..., ResolvedRecipe], tmp_path: Path
) -> None:
    data, size = spoken_tones(tmp_path / "data"), recipe(method="dpo", pairs=1, group=4)
    card = train_recipe(size, data, tmp_path / "whole")
    lines = (tmp_path / "whole" / PAIRS).read_text().splitlines(keepends=True)
    texts = [json.loads(line) for line in lines[1:]]
    assert card["alignment"]["rollouts"] == 4 * len(texts)
    assert card["alignment"]["pairs"] == sum(len(row["pairs"]) for row in texts) > 0
    assert all(pair["rewards"][0] > pair["rewards"][1] for row in texts for pair in row["pairs"])
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / PAIRS).write_text("".join(lines[:3]) + lines[3][:20])
    train_recipe(size, data, tmp_path / "parts", stop_at=2)
    train_recipe(size, data, tmp_path / "parts", resume=True)
    assert (tmp_path / "parts" / PAIRS).read_text() == "".join(lines)
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_pairs_of_another_plan_are_drawn_anew_and_too_few_are_refused(
    recipe: Callable[..., ResolvedRecipe], tmp_path: Path
) -> None:
    data = spoken_tones(tmp_path / "data")
    plans = []
    for seed in (0, 1):
        (tmp_path / "out" / "model.safetensors").unlink(missing_ok=True)
        (tmp_path / "out" / "training.safetensors").unlink(missing_ok=True)
        train_recipe(
            recipe(method="dpo", pairs=2, group=6, steps=1, texts_per_step=1, seed=seed), data, tmp_path / "out"
        )
        plans.append((tmp_path / "out" / PAIRS).read_text().splitlines())
    assert plans[0] != plans[1] and len(plans[0]) == len(plans[1])
    silent = recipe(method="dpo", pairs=1, group=2, max_seconds=0.05, rewards={"duration": 1.0})
    with pytest.raises(BadInput, match="0 texts have a better and a worse rollout, and a step takes 2"):
        train_recipe(silent, data, tmp_path / "cut")
    with pytest.raises(BadInput, match="pairs: 2 pairs are for dpo, and need a group of 4"):
        train_recipe(recipe(method="dpo", pairs=2, group=3), data, tmp_path / "no")


def test_what_comes_out_is_a_synthesizer_with_a_card(recipe: Callable[..., ResolvedRecipe], tmp_path: Path) -> None:
    card = train_recipe(recipe(), spoken_tones(tmp_path / "data"), tmp_path / "out")
    assert [row["step"] for row in card["guards"]] == [0.0, 2.0, 4.0]
    assert {"seconds", "stopped", "repeats", "voiced"} <= card["guards"][0].keys()
    assert card["license"] == "apache-2.0" and card["alignment"]["rollouts"] == 24
    model = modelspec.resolve(f"{tmp_path / 'out'},max_seconds=0.5").build()
    assert isinstance(model, SpeechSynthesizer)
    assert model.synthesize([SynthesisRequest("a", "One.", seed=1)])[0].rate == 16_000


@pytest.mark.slow
def test_people_s_own_folder_needs_no_length_and_texts_that_cannot_be_measured_are_named(
    recipe: Callable[..., ResolvedRecipe], tmp_path: Path
) -> None:
    data, said = spoken_tones(tmp_path / "data"), list[str]()
    rows = [json.loads(line) for line in (data / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"]
    rows[1] |= {"text": "(laughs)"}
    rows[2] |= {"text": "Bonjour.", "language": "fr"}
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    size = recipe(verifier={"recognizer": "whisper-tiny.en"}, voices=True, guards=None, steps=1)
    card = train_recipe(size, data, tmp_path / "out", say=said.append)
    assert "left out 1 (text): nothing of '(laughs)' is left to recognize" in said
    assert any(line.startswith("left out 2 (text): ") and "English only, not 'fr'" in line for line in said)
    assert "left out 2 of 4 texts of the split 'train': 2 text" in said
    assert card["alignment"]["lines"] == 2 and card["data"]["sha256"]
    (data / "0.wav").write_bytes((data / "3.wav").read_bytes())
    with pytest.raises(BadInput, match=r"another data: sha256 \w{12}… is now \w{12}…"):
        train_recipe(size, data, tmp_path / "out", resume=True)


def test_another_recipe_does_not_resume_a_run(recipe: Callable[..., ResolvedRecipe], tmp_path: Path) -> None:
    data = spoken_tones(tmp_path / "data")
    train_recipe(recipe(), data, tmp_path / "out", stop_at=1)
    with pytest.raises(BadInput, match="already"):
        train_recipe(recipe(), data, tmp_path / "out")
    with pytest.raises(BadInput, match="beta"):
        train_recipe(recipe(beta=0.5), data, tmp_path / "out", resume=True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rewards": {"sim": 1.0}}, "verifier does not measure"),
        ({"rewards": {"beauty": 1.0}}, "verifier does not measure"),
        ({"verifier": {"recognizer": "whisper-base"}, "guards": {"recognizer": "whisper-base"}}, "another model"),
        (
            {"verifier": {"recognizer": "whisper-base,window_seconds=10"}, "guards": {"recognizer": "whisper-base"}},
            "another model",
        ),
        ({"group": 1}, "group"),
        ({"start": "nowhere"}, "no checkpoint nowhere"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_an_error(
    change: dict[str, Any], words: str, recipe: Callable[..., ResolvedRecipe], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=words):
        train_recipe(recipe(**change), spoken_tones(tmp_path / "data"), tmp_path / "out")


def test_a_model_with_a_depth_decoder_is_not_aligned(tmp_path: Path) -> None:
    path = save_codec(tmp_path, "csm")
    frames = tiny_lm(tiny_config(codec_of(path), str(path), "csm"))
    with pytest.raises(BadInput, match="single-stream"):
        aligner(frames)


def test_the_spread_of_pitch_is_in_semitones() -> None:
    from speech_eval.audio import Audio

    time = np.arange(32_000) / 16_000
    steady = Audio(np.sin(2 * np.pi * 150 * time).astype(np.float32), 16_000)
    octave = np.concatenate([np.sin(2 * np.pi * hertz * time) for hertz in (120, 240)]).astype(np.float32)
    level, wide = pitch_spread(steady), pitch_spread(Audio(octave, 16_000))
    assert level is not None and level < 0.1
    assert wide == pytest.approx(6.0, abs=0.3)  # half an octave either side
    assert pitch_spread(Audio(np.zeros(16_000, np.float32), 16_000)) is None

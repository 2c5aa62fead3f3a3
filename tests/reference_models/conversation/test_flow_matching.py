"""Flow matching: paths, solver and guidance on a target whose velocity is known; the detokenizer whole and in parts."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from torch import Tensor  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.conversation.flow.config import FlowConfig, FlowTrainingConfig  # noqa: E402
from speech_eval.reference_models.conversation.flow.matching import between, follow, grid  # noqa: E402
from speech_eval.reference_models.conversation.flow.model import Detokenizer, DetokenizerStream  # noqa: E402
from speech_eval.reference_models.recipes.schema import load  # noqa: E402

torch.set_num_threads(1)
MEANS, SHARES, DEVIATION = torch.tensor([-2.0, 1.0]), torch.tensor([0.3, 0.7]), 0.25


def mixture_velocity(x: Tensor, time: float, number: int) -> Tensor:
    """The mean of x_1 - x_0 given x_t = x for a mixture of two Gaussians, in closed form: x_t of a component is normal
    with mean t·m and variance (1 - t)² + t²s²."""
    t, s2 = time, DEVIATION**2
    variance = (1 - t) ** 2 + t**2 * s2
    of_each = SHARES.log() - (x[:, None] - t * MEANS).square() / (2 * variance)
    weight = of_each.softmax(1)
    off = x[:, None] - t * MEANS
    data, noise = MEANS + t * s2 / variance * off, (1 - t) / variance * off
    return (weight * (data - noise)).sum(1)


def test_the_straight_path_has_the_velocity_of_its_ends() -> None:
    noise, data = torch.zeros(2, 3), torch.ones(2, 3)
    point, velocity = between(noise, data, torch.tensor([0.0, 0.25]))
    assert torch.equal(point, torch.tensor([[0.0] * 3, [0.25] * 3])) and torch.equal(velocity, torch.ones(2, 3))


def test_the_grid_goes_from_noise_to_data_and_is_finest_at_the_noise() -> None:
    times = grid(8)
    steps = np.diff(times)
    assert times[0] == 0.0 and times[-1] == pytest.approx(1.0)
    assert (np.diff(steps) > 0).all()


def test_many_evaluations_recover_a_mixture() -> None:
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    found = follow(mixture_velocity, noise, 200)
    low = found[found < -0.5]
    assert len(low) / len(found) == pytest.approx(0.3, abs=0.02)
    for part, mean in ((low, -2.0), (found[found >= -0.5], 1.0)):
        assert float(part.mean()) == pytest.approx(mean, abs=0.02)
        assert float(part.std()) == pytest.approx(DEVIATION, abs=0.02)


def test_the_error_falls_with_the_number_of_evaluations() -> None:
    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    exact = follow(mixture_velocity, noise, 1000)
    errors = [float((follow(mixture_velocity, noise, n) - exact).abs().mean()) for n in (1, 2, 4, 8, 16, 32)]
    assert all(more > 1.2 * less for more, less in itertools.pairwise(errors)), errors
    assert float(follow(mixture_velocity, noise, 1).std()) < 1e-5, "one evaluation gives the mean of the data"


# ------------------------------------------------------------------------------------------- detokenizer


def config(books: int = 1, **velocity: Any) -> FlowConfig:
    rates = (50.0, 25.0)[:books]
    return FlowConfig.model_validate(
        {
            "codec": {"spec": "x", "codebook_sizes": (20, 9)[:books], "frame_rates": rates, "sample_rate": 16000},
            "bands": 20,
            "reader": {"layers": 1, "heads": 2, "mlp": 32, "context": 20, "layer_scale": 0.5},
            "velocity": {"width": 32, "layers": 2, "heads": 2, "mlp": 48, "block": 10, "back": 2, "ahead": 4}
            | velocity,
            "vocoder": {"channels": 24, "blocks": 2},
        }
    )


def random_model(books: int = 1, **velocity: Any) -> Detokenizer:
    torch.manual_seed(0)
    model = Detokenizer(config(books, **velocity)).eval()
    for name, parameter in model.named_parameters():
        if "modulate" in name or "leave" in name:  # zero at first, so that nothing would depend on anything
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def codes_of(books: int, frames: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [
        torch.randint(size, (1, frames // repeat), generator=random)
        for size, repeat in zip((20, 9)[:books], (1, 2)[:books], strict=True)
    ]


def in_parts(stream: DetokenizerStream, codes: list[Tensor], frames: int) -> list[Tensor]:
    repeats = stream.model.repeats
    pushed = []
    for start in range(0, codes[0].shape[1] * repeats[0], frames):
        part = [book[:, start // n : (start + frames) // n] for book, n in zip(codes, repeats, strict=True)]
        pushed.append(stream.push(part))
    return [*pushed, stream.push([book[:, :0] for book in codes], last=True)]


@pytest.mark.parametrize("guidance", [0.0, 0.7])
@pytest.mark.parametrize(("books", "frames"), [(1, 3), (2, 14), (1, 64)])
def test_a_stream_gives_what_the_whole_gives(books: int, frames: int, guidance: float) -> None:
    model, codes = random_model(books), codes_of(books, 96)
    whole = DetokenizerStream(model, 3, guidance, 5).push(codes, last=True)
    parts = in_parts(DetokenizerStream(model, 3, guidance, 5), codes, frames)
    assert whole.shape == (1, 1, 96 * 320) and float(whole.abs().mean()) > 1e-3
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole, atol=1e-5, rtol=0.0)


def test_a_frame_depends_on_codes_up_to_its_look_ahead_and_no_further() -> None:
    model, codes = random_model(), codes_of(1, 60)
    changed = [codes[0].clone()]
    changed[0][:, 40] = (changed[0][:, 40] + 1) % 20
    told, after = model.told(codes), model.told(changed)
    moved = (told - after).abs().amax(dim=(0, 2)) > 1e-6
    assert int(moved.nonzero()[0]) == 40 - model.config.velocity.ahead
    noise = torch.randn(1, 60, 20, generator=torch.Generator().manual_seed(0))
    from speech_eval.reference_models.codec.streaming import StreamState

    with torch.inference_mode():
        one, other = (model.path(x, noise, 2, 0.0, [StreamState() for _ in range(2)]) for x in (told, after))
    first = int(((one - other).abs().amax(dim=(0, 2)) > 1e-6).nonzero()[0])
    assert first == 30, "the whole block of the first frame that was told of it, and no block before"


def test_the_noise_is_that_of_the_seed() -> None:
    model, codes = random_model(), codes_of(1, 20)
    one, same, other = (DetokenizerStream(model, 2, 0.0, seed).push(codes, last=True) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_codes_that_do_not_last_whole_frames_are_named() -> None:
    wrong = config().model_copy(
        update={"codec": config().codec.model_copy(update={"frame_rates": (12.5,), "sample_rate": 24000})}
    )
    with pytest.raises(BadInput, match=r"Codes at 12.5 Hz .* model.vocoder.hop"):
        Detokenizer(wrong.model_copy(update={"velocity": wrong.velocity.model_copy(update={"block": 5})}))


@pytest.mark.parametrize("size", ["smoke", "cpu", "reference", "scale"])
def test_every_size_of_the_recipe_can_be_built(size: str) -> None:
    recipe = load("conversation/flow-detokenizer", size)
    codec = {"spec": "x", "codebook_sizes": [1000], "frame_rates": [50.0], "sample_rate": 16000}
    made = recipe.read(FlowConfig, {**recipe.model, "codec": codec})
    recipe.read(FlowTrainingConfig, recipe.training)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in Detokenizer(made).parameters())
    assert parameters < {"smoke": 6e6, "cpu": 8e6}.get(size, 100e6)


# ------------------------------------------------------------------------------------------- training


@pytest.mark.slow
def test_training_resumes_and_the_checkpoint_is_a_codec(tmp_path: Path) -> None:
    from speech_eval.audio import flac_bytes
    from speech_eval.reference_models.conversation.flow.train import FlowTrainer
    from speech_eval.reference_models.data.corpus import open_corpus
    from speech_eval.reference_models.data.token_shards import codec_section
    from speech_eval.reference_models.speech_lm.codec_stream import load_codec, probe

    time = np.arange(16000) / 16000
    for index, hertz in enumerate((120, 180, 240)):
        tone = (0.2 * np.sin(2 * math.pi * hertz * time * (1 + 0.2 * time))).astype(np.float32)
        (tmp_path / "speech").mkdir(exist_ok=True)
        (tmp_path / "speech" / f"{index}.flac").write_bytes(flac_bytes(Audio(tone, 16000)))
    recipe, base = load("conversation/flow-detokenizer", "smoke"), load_codec("voice-16k")
    section = codec_section(base, "voice-16k", probe(base))
    made = recipe.read(FlowConfig, {**recipe.model, "codec": section.model_dump()})
    training = recipe.read(
        FlowTrainingConfig,
        {
            **recipe.training,
            "steps": 4,
            "batch_size": 2,
            "segment_seconds": 0.4,
            "vocoder_seconds": 0.2,
            "log_every": 1,
        },
    )

    def trainer(folder: str) -> FlowTrainer:
        corpus = open_corpus(tmp_path / "speech")
        return FlowTrainer(
            made, training, base, corpus, tmp_path / folder, name="flow", overfit=False, say=lambda _: None
        )

    trainer("whole").run()
    trainer("parts").run(stop_at=2)
    resumed = trainer("parts")
    resumed.loop.start(resume=True)
    resumed.run()
    whole, parts = (Detokenizer.load(tmp_path / folder)[0].state_dict() for folder in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

    codec: Any = modelspec.resolve(f"{tmp_path / 'whole'},nfe=2").build()
    audio = Audio((0.2 * np.sin(2 * math.pi * 150 * time)).astype(np.float32)[:15_000], 16000)
    codes = codec.encode([audio])[0]
    decoded = codec.decode([codes])[0]
    streamed = np.concatenate([chunk.samples for chunk in codec.stream_decode(codes)])
    assert len(decoded.samples) == 15_000
    np.testing.assert_allclose(streamed, decoded.samples, atol=1e-5)
    with pytest.raises(BadInput, match="nfe must be a whole number"):
        modelspec.resolve(f"{tmp_path / 'whole'},nfe=0").build()

"""Moshi driven frame by frame, against the whole sequences that transformers computes at once; Mimi's streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import tiny_tts as tiny
from support.contracts import build, check_duplex, check_unloads, noise, run
from support.tiny_codecs import save_tiny_codec

from speech_eval.adapters.base import StreamsCodes
from speech_eval.adapters.duplex.moshi import Moshi
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
torch.set_num_threads(1)

FRAMES, HOP = 9, 1920
MARK = 64  # before the first code of a codebook


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write("moshi", tmp_path_factory.mktemp("moshi") / "model")


@pytest.fixture(scope="module")
def agent(folder: Path) -> Moshi:
    adapter = build(str(folder))
    assert isinstance(adapter, Moshi)
    return adapter


def test_it_keeps_the_contract_of_duplex_agents(agent: Moshi) -> None:
    assert (agent.sample_rate, agent.chunk_seconds) == (24_000, 0.08)
    check_duplex(agent)


def test_the_seed_decides_what_is_said(folder: Path) -> None:
    heard = [noise(0.08, 24_000, seed) for seed in range(5)]
    said = []
    for seed in (0, 1, 0):
        agent = build(f"{folder},seed={seed}")
        said.append(np.concatenate([agent.step(chunk).samples for chunk in heard]))
    assert np.array_equal(said[0], said[2]) and not np.array_equal(said[0], said[1])


def test_other_generators_are_left_alone(agent: Moshi) -> None:
    state = torch.random.get_rng_state()
    agent.step(noise(0.08, 24_000))
    assert torch.equal(state, torch.random.get_rng_state())


def test_steps_are_the_whole_sequence_at_once(folder: Path) -> None:
    """What the agent says step by step is what the model says of the whole conversation, greedily: the reference gets
    all of the user's audio and the words and codes so far in one call."""
    agent = build(f"{folder},temperature=0,text_temperature=0")
    whole = noise(FRAMES * 0.08, 24_000)
    chunks = [Audio(whole.samples[i * HOP : (i + 1) * HOP], 24_000) for i in range(FRAMES)]
    said = [agent.step(chunk).samples for chunk in chunks]
    model = transformers.MoshiForConditionalGeneration.from_pretrained(folder).eval()
    wave, codes = _reference(model, whole)
    assert len({tuple(frame) for frame in codes.T.tolist()}) > 3  # it does not say the same all the time
    np.testing.assert_array_equal(said[0], np.zeros(HOP, np.float32))
    np.testing.assert_allclose(np.concatenate(said[1:]), wave, atol=1e-5)


def _reference(model: Any, user: Audio) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        heard = model.audio_encoder.encode(torch.from_numpy(user.samples)[None, None], num_quantizers=4).audio_codes[0]
        words, said = [64], [[MARK] * 4]  # by position: what the position before made
        for position in range(FRAMES):
            mine = torch.tensor(said).T.clone()
            theirs = torch.full((4, position + 1), MARK)
            theirs[0, 1:] = heard[0, 1 : position + 1]
            theirs[1:, 2:] = heard[1:, 1:position]
            mine[1:, :2] = MARK
            out = model(input_ids=torch.tensor([words]), moshi_audio_codes=mine[None], user_audio_codes=theirs[None])
            word = out.logits[0, -1].argmax()
            codes = model.depth_decoder.generate(
                last_hidden_state=out.last_hidden_state[:, -1:],
                input_ids=word[None, None],
                do_sample=False,
                min_length=5,
                max_length=5,
            )[0, 1:]
            words.append(int(word))
            said.append(codes.tolist())
        made = torch.tensor(said[1:]).T  # [4, positions]
        frames = torch.cat([made[:1, :-1], made[1:, 1:]])  # acoustic codes come a step late
        return model.audio_encoder.decode(frames[None]).audio_values.reshape(-1).numpy(), frames.numpy()


def test_chunks_of_another_size_are_refused(agent: Moshi) -> None:
    with pytest.raises(BadAudio, match="1920 samples at 24000 Hz at a time, not 800 at 16000"):
        agent.step(noise(0.05, 16_000))


@pytest.mark.parametrize("options", ["temperature=-1", "top_k=0", "seed=-1", "color=red"])
def test_options_that_cannot_be_are_refused(folder: Path, options: str) -> None:
    with pytest.raises(BadInput):
        build(f"{folder},{options}")


def test_the_command_finishes_its_task(folder: Path, tmp_path: Path) -> None:
    assert run(str(folder), "turn-taking", tmp_path) == 0


def test_its_network_is_freed(folder: Path) -> None:
    check_unloads(str(folder))


# --------------------------------------------------------------------------------------------------- Mimi


def test_mimi_streams_what_it_decodes_at_once(tmp_path: Path) -> None:
    codec = build(str(save_tiny_codec("mimi", tmp_path / "mimi")))
    assert isinstance(codec, StreamsCodes) and codec.causal
    audio = noise(2.03, 24_000)
    (codes,) = codec.encode([audio])
    (whole,) = codec.decode([codes])
    chunks = list(codec.stream_decode(codes))
    assert len(chunks) == len(codes.codebooks[0]) == 26
    streamed = np.concatenate([chunk.samples for chunk in chunks])
    assert len(streamed) == len(whole.samples)
    np.testing.assert_allclose(streamed, whole.samples, atol=1e-5)

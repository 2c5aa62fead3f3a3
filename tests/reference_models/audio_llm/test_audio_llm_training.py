"""Training an audio LLM: it says back what it was overfitted to, and a stopped run goes on as if it had not been."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from support.tiny_audio_llm import TEXTS, model_section, save_corpus, save_tiny_llm, save_tiny_whisper  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import AudioLanguageModel, ChatRequest, SpeechRecognizer  # noqa: E402
from speech_eval.adapters.base import TranscriptionRequest as Request  # noqa: E402
from speech_eval.audio import Audio, load  # noqa: E402
from speech_eval.errors import BadInput, SpeechEvalError  # noqa: E402
from speech_eval.reference_models.audio_llm import building  # noqa: E402
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig  # noqa: E402
from speech_eval.reference_models.audio_llm.features import FeatureStore, build_features  # noqa: E402
from speech_eval.reference_models.audio_llm.preference import Start, preferred  # noqa: E402
from speech_eval.reference_models.audio_llm.tasks import joined  # noqa: E402
from speech_eval.reference_models.audio_llm.train import AudioTrainer, train, train_recipe  # noqa: E402
from speech_eval.reference_models.audio_llm.training_config import AudioTrainingConfig, PreferenceSection  # noqa: E402
from speech_eval.reference_models.data.corpus import open_corpus  # noqa: E402
from speech_eval.reference_models.recipes.schema import load as load_recipe  # noqa: E402
from speech_eval.reference_models.training.checkpoint import load_tensors  # noqa: E402
from speech_eval.reference_models.training.config import first_problem  # noqa: E402

torch.set_num_threads(1)
FAST = {"learning_rate": 5e-3, "betas": [0.9, 0.98], "warmup_steps": 5, "schedule": "cosine", "clip_norm": 1.0}


class World(NamedTuple):
    whisper: str
    llm: str
    data: Path
    store: FeatureStore


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    whisper, llm = save_tiny_whisper(folder / "whisper"), save_tiny_llm(folder / "llm")
    data = save_corpus(folder / "data")
    store = build_features(open_corpus(data), whisper, folder / "features", dtype="float32")
    return World(whisper, llm, data, store)


def configured(world: World, stages: dict[str, Any], **model: Any) -> tuple[AudioLLMConfig, AudioTrainingConfig]:
    for stage in stages.values():
        stage |= {"optimizer": FAST, "llm_optimizer": FAST, "batch_size": 5}
    training = {"stages": stages, "log_every": 50, "validation_utterances": 1, "validate_every": 1000}
    section = model_section(world.whisper, world.llm, **model)
    return AudioLLMConfig.model_validate(section), AudioTrainingConfig.model_validate(training)


def a_request(name: str, audio: Audio, language: str = "en") -> Request:
    return Request(name, lambda: audio, language)


@pytest.fixture(scope="module")
def spoken(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that learned its training utterances by heart: CTC first, then through the LLM."""
    output = tmp_path_factory.mktemp("spoken") / "model"
    stages: dict[str, Any] = {
        "align": {"steps": 20, "frame_steps": 10, "mixture": {"ctc": 1}},
        "sft": {"steps": 240, "learn": ["fusion", "llm"], "mixture": {"transcribe": 1}},
    }
    config, training = configured(world, stages, ctc={"soft": False}, adapt={"type": "full"})
    found = train(config, training, world.store, output, overfit=True)
    assert list(found["stages"]) == ["align", "sft"] and found["stages"]["sft"]["steps"] == 240
    return output


@pytest.fixture(scope="module")
def model(spoken: Path) -> Any:
    return modelspec.resolve(str(spoken)).build()


@pytest.mark.slow
def test_it_says_back_what_it_was_overfitted_to(world: World, model: Any) -> None:
    assert isinstance(model, SpeechRecognizer)
    requests = [a_request(text, load(world.data / f"u{n}.wav", 16_000)) for n, text in enumerate(TEXTS[:5])]
    assert model.transcribe(requests) == list(TEXTS[:5])
    assert list(model.transcribe_stream(requests[2]))[-1] == TEXTS[2]
    info = model.info()
    assert info.weights_sha256 and info.metadata["reading"] == "soft"


def test_utterances_are_put_behind_one_another(world: World) -> None:
    given = [world.store[i] for i in range(len(world.store))]
    assert [(one.id, one.text) for one in joined(given, 1, 0)] == [(one.id, one.text) for one in given]
    sizes = set()
    for number in range(20):
        made = joined(given, 3, number)
        assert " ".join(one.text for one in made) == " ".join(one.text for one in given)
        assert sum(len(one.features) for one in made) == sum(len(one.features) for one in given)
        sizes |= {one.id.count("+") + 1 for one in made}
        assert [one.id for one in joined(given, 3, number)] == [one.id for one in made]
    assert sizes == {1, 2, 3}


@pytest.mark.slow
def test_conversations_hold_several_recordings_and_turns(world: World, model: Any) -> None:
    assert isinstance(model, AudioLanguageModel)
    audio = load(world.data / "u1.wav", 16_000)
    heard = {"role": "user", "content": [{"type": "text", "text": "say:"}, {"type": "audio", "audio": audio}]}
    said = {"role": "assistant", "content": "no"}
    request = ChatRequest("c", [heard, said, heard], max_new_tokens=6)
    pieces = [piece.text or "" for piece in model.reply_stream(request)]
    assert "".join(pieces) == model.reply([request])[0].text
    wrong = [{"role": "user", "content": [{"type": "audio", "audio": "u1.wav"}]}]
    with pytest.raises(BadInput, match=r"w \(message 0\): str is no audio"):
        model.reply([ChatRequest("w", wrong)])
    assert model.reply([ChatRequest("t", [{"role": "user", "content": "hi"}], max_new_tokens=2)])[0].text is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "named"),
    [
        (0, "x: the audio has no samples"),
        (100, "x: 100 samples are too short to hear"),
        (40 * 16_000, "x: 40 s of audio; this model was made for up to 30 s"),
        (30 * 16_000 + 160, r"x: 30\.1 s of audio; this model was made for up to 30 s"),
    ],
)
def test_audio_that_cannot_be_heard_is_named(model: Any, samples: int, named: str) -> None:
    silence = Audio(torch.zeros(samples).numpy(), 16_000)
    with pytest.raises(BadInput, match=named):
        model.transcribe([a_request("x", silence)])


@pytest.mark.slow
def test_not_a_number_other_rates_and_other_languages(world: World, model: Any) -> None:
    broken = Audio(torch.full((8000,), float("nan")).numpy(), 16_000)
    with pytest.raises(BadInput, match="NaN or infinity"):
        model.transcribe([a_request("x", broken)])
    faster = load(world.data / "u1.wav", 24_000)
    assert model.transcribe([a_request("x", faster)]) == [TEXTS[1]]
    with pytest.raises(BadInput, match="was trained on en, not fr"):
        model.transcribe([a_request("x", faster, "fr")])
    with pytest.raises(BadInput, match="1 recordings, and 2 places"):
        parts = [{"type": "text", "text": "<|audio|>"}, {"type": "audio", "audio": faster}]
        model.reply([ChatRequest("x", [{"role": "user", "content": parts}])])


# --------------------------------------------------------------------------------------- stages and resuming


def staged(world: World) -> tuple[AudioLLMConfig, AudioTrainingConfig]:
    stages: dict[str, Any] = {
        "align": {"steps": 4, "frame_steps": 2, "mixture": {"ctc": 1}, "negatives": 4, "mask": {}},
        "warmup": {"steps": 3, "mixture": {"transcribe": 1}, "distil": 0.5},
        "sft": {"steps": 4, "learn": ["fusion", "llm"], "mixture": {"transcribe": 2, "replay": 1}},
        "dpo": {"steps": 3, "learn": ["llm"], "mixture": {"prefer": 1}, "preference": {"temperature": 2.0}},
    }
    fusion = {"type": "mlp-fold", "fold": 2, "hidden": 64, "context": 1, "dropout": 0.1}
    return configured(
        world, stages, ctc={"spelled": True}, fusion=fusion, adapt={"type": "lora", "rank": 2, "gated": False}
    )


@pytest.fixture(scope="module")
def uninterrupted(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "run"
    train(*staged(world), world.store, output)
    return output


@pytest.mark.parametrize("stop_at", [2, 4, 6, 9, 12])
def test_a_run_stopped_inside_any_stage_goes_on_bit_for_bit(
    world: World, uninterrupted: Path, stop_at: int, tmp_path: Path
) -> None:
    train(*staged(world), world.store, tmp_path / "run", stop_at=stop_at)
    train(*staged(world), world.store, tmp_path / "run", resume=True)
    whole, resumed = (load_tensors(folder / "model.safetensors") for folder in (uninterrupted, tmp_path / "run"))
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


@pytest.mark.slow
def test_the_better_transcript_becomes_likelier_than_the_worse(world: World, spoken: Path) -> None:
    """The same pairs again and again: what was said at temperature 2 against the transcripts."""
    model, _ = building.load(spoken)
    parameters = model.freeze_except(["llm"])["llm"].values()
    utterances = [world.store.split("train")[i] for i in range(5)]
    section, start = PreferenceSection(temperature=2.0, beta=0.5), Start()
    start.keep(model)
    seeds = [s for s in range(12) if float(preferred(model, start, utterances, section, s)["pairs"]) >= 2]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    found = []
    for _ in range(10):
        losses = preferred(model, start, utterances, section, seeds[0])
        found.append({name: float(value.detach()) for name, value in losses.items()})
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
    first, last = found[0], found[-1]
    assert first["pairs"] == last["pairs"] >= 2 and first["margin"] == pytest.approx(0, abs=1e-4)
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3) and last["loss"] < 0.4
    assert last["prefers"] == 1.0 and last["margin"] > 1
    online = section.model_copy(update={"pairs": "online"})
    assert max(float(preferred(model, start, utterances, online, s)["pairs"]) for s in range(6)) >= 1


def test_the_first_steps_see_only_utterances_whose_words_have_times(world: World, tmp_path: Path) -> None:
    stores = []
    for name in ("timed", "other"):
        folder = shutil.copytree(world.store.folder, tmp_path / name)
        lines = [json.loads(line) for line in (folder / "features-00000.jsonl").read_text("utf-8").splitlines()]
        for line in lines:
            line["id"] = f"{name}-{line['id']}"
            line["words"] = [[line["text"], 0.0, 0.8]] if name == "timed" else []
        (folder / "features-00000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        stores.append(FeatureStore.open(folder))
    stages: dict[str, Any] = {"align": {"steps": 9, "frame_steps": 5, "word_times": 3, "mixture": {"ctc": 1}}}
    config, training = configured(world, stages, ctc={})
    store = FeatureStore.united(stores)
    trainer = AudioTrainer(config, training, store, tmp_path / "run", "x", False, None, None, False, lambda text: None)
    seen = []
    for batch in trainer.batches(0, 9):
        seen.append({trainer.train_set[i].id.split("-")[0] for i in batch})
        trainer.log.stage_step += 1
    assert set().union(*seen[:5]) == {"timed"} and "other" in set().union(*seen[5:])


def test_a_recipe_says_what_is_done_to_recordings_before_they_are_heard(world: World, tmp_path: Path) -> None:
    recipe = load_recipe("audio_llm/listen", "smoke")
    training = dict(recipe.training) | {
        "augment": {"level": 1.0, "telephone": 1.0},
        "stages": {"warmup": {"steps": 1, "mixture": {"transcribe": 1}, "batch_size": 2}},
    }
    changed = recipe.model_copy(update={"model": model_section(world.whisper, world.llm), "training": training})
    train_recipe(changed, world.data, tmp_path / "run")
    store = FeatureStore.open(tmp_path / "run" / "features")
    assert all("telephone" in row.line["metadata"]["condition"] for row in store.rows)


def test_features_of_another_layer_are_refused(world: World, tmp_path: Path) -> None:
    stages: dict[str, Any] = {"warmup": {"steps": 1, "mixture": {"transcribe": 1}}}
    config, training = configured(world, stages)
    other = config.model_copy(update={"encoder": config.encoder.model_copy(update={"layer": 0})})
    with pytest.raises(BadInput, match=r"holds layer -1 of .*; the recipe's is 0"):
        train(other, training, world.store, tmp_path / "run")


def test_another_training_is_not_resumed(world: World, uninterrupted: Path) -> None:
    config, training = staged(world)
    changed = training.model_copy(update={"hold_back": 0.5})
    with pytest.raises(BadInput, match=r"another training: hold_back 0\.0 is now 0\.5"):
        train(config, changed, world.store, uninterrupted, resume=True)
    with pytest.raises(BadInput, match="holds a training run already"):
        train(config, training, world.store, uninterrupted)


def test_a_later_stage_starts_from_a_checkpoint(world: World, uninterrupted: Path, tmp_path: Path) -> None:
    stages: dict[str, Any] = {"sft": {"steps": 1, "learn": ["llm"], "mixture": {"transcribe": 1}}}
    config, training = staged(world)[0], configured(world, stages)[1]
    train(config, training, world.store, tmp_path / "run", init=uninterrupted)
    before, after = (load_tensors(folder / "model.safetensors") for folder in (uninterrupted, tmp_path / "run"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"llm"}
    other, _ = configured(world, stages, fusion={"type": "stack-swiglu"})
    with pytest.raises(BadInput, match=r"--init: .* has another fusion"):
        train(other, training, world.store, tmp_path / "other", init=uninterrupted)


@pytest.mark.parametrize(
    ("stages", "model", "named"),
    [
        ({"align": {"steps": 1, "mixture": {"ctc": 1}}}, {}, "stages.align: the task ctc needs model.ctc"),
        ({"sft": {"steps": 1, "learn": ["llm"], "mixture": {"replay": 1}}}, {}, "The LLM has no part that is trained"),
        (
            {"sft": {"steps": 1, "mixture": {"transcribe": 1}, "distil": 1}},
            {"adapt": {"type": "full"}},
            "stages.sft.distil: the text LLM that it learns from would change",
        ),
        (
            {"sft": {"steps": 1, "mixture": {"transcribe": 1}, "utterances": "held-back"}},
            {},
            "no utterance is held-back",
        ),
    ],
)
def test_a_stage_that_cannot_be_is_named(
    world: World, stages: dict[str, Any], model: dict[str, Any], named: str, tmp_path: Path
) -> None:
    config, training = configured(world, stages, **model)
    with pytest.raises(SpeechEvalError, match=named):
        train(config, training, world.store, tmp_path / "run")


@pytest.mark.parametrize(
    ("stages", "named"),
    [
        ({"aling": {}}, r"'stages.aling': .* \(did you mean 'align'\?\)"),
        (
            {"align": {"steps": 1, "mixture": {"ctc": 1}, "batchsize": 2}},
            r"'stages.align.batchsize': .* \(did you mean 'batch_size'\?\)",
        ),
    ],
)
def test_a_misspelled_key_of_a_stage_is_named_where_it_stands(stages: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as error:
        AudioTrainingConfig.model_validate({"stages": stages})
    assert re.search(named, first_problem(error.value)), first_problem(error.value)


def test_steps_are_the_sum_of_the_stages_and_a_recipe_needs_one(world: World) -> None:
    assert staged(world)[1].steps == 14
    with pytest.raises(ValueError, match="no stage is given"):
        AudioTrainingConfig.model_validate({"stages": {}})
    with pytest.raises(ValueError, match="no step through the LLM"):
        AudioTrainingConfig.model_validate({"stages": {"align": {"steps": 1, "learn": ["llm"], "mixture": {"ctc": 1}}}})


def test_batches_hold_every_utterance_once_per_epoch() -> None:
    import numpy as np

    from speech_eval.reference_models.audio_llm.batches import Batches, drawn, kept_back

    lengths = np.arange(100) * 7 % 50
    batches = Batches(lengths, 5, seed=1)
    epoch = list(itertools.chain.from_iterable(batches[n] for n in range(20)))
    assert sorted(epoch) == list(range(100)) and batches[0] != batches[20]
    spread = [np.ptp(lengths[batches[n]]) for n in range(20)]
    assert max(spread) <= 5, "of similar length"
    halves = [Batches(lengths, 5, 1, rank, 2) for rank in (0, 1)]
    both = [i for half in halves for n in range(half.per_epoch) for i in half[n]]
    assert sorted(both) == list(range(100))
    share = sum(kept_back(f"text {n}", 0.2) for n in range(2000)) / 2000
    assert share == pytest.approx(0.2, abs=0.03)
    tasks = [drawn({"a": 3, "b": 1}, 0, n) for n in range(400)]
    assert tasks.count("a") / 400 == pytest.approx(0.75, abs=0.06) and tasks[5] == drawn({"a": 3, "b": 1}, 0, 5)

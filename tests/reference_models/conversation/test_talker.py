"""The Talker: what it is told and when, in training and in a stream; the Thinker; the adapters."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from support.distributed_jobs import rows, run, torchrun  # noqa: E402
from support.tiny_speech import codec_of, save_codec, spoken_tones  # noqa: E402
from support.tiny_text import QWEN2, bold, characters, chatml  # noqa: E402
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import ChatRequest, SynthesisRequest  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.conversation.talker.config import (  # noqa: E402
    TalkerConfig,
    TalkerTrainingConfig,
    ThinkerSection,
)
from speech_eval.reference_models.conversation.talker.model import END, NOTHING, Speaking, Talker  # noqa: E402
from speech_eval.reference_models.conversation.talker.thinker import Script, Thinker, Thought  # noqa: E402
from speech_eval.reference_models.conversation.talker.train import TalkerTrainer, read_by, train_recipe  # noqa: E402
from speech_eval.reference_models.data.corpus import open_corpus  # noqa: E402
from speech_eval.reference_models.data.token_shards import Shards, write_shards  # noqa: E402
from speech_eval.reference_models.recipes.reproduce import train  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load  # noqa: E402
from speech_eval.reference_models.training.checkpoint import save_checkpoint  # noqa: E402

torch.set_num_threads(1)


def config(lead: int = 2, every: int = 3, **changes: Any) -> TalkerConfig:
    return TalkerConfig.model_validate(
        {
            "codec": {"spec": "x", "codebook_sizes": [64], "frame_rates": [50.0], "sample_rate": 16000},
            "thinker": {"width": 8},
            "core": {"width": 32, "layers": 2, "heads": 2, "feed_forward": 64, "positions": 64},
            "lead": lead,
            "every": every,
        }
        | changes
    )


def random_talker(**changes: Any) -> Talker:
    torch.manual_seed(0)
    model = Talker(config(**changes)).eval()
    for layer in model.enter:
        torch.nn.init.normal_(layer.weight, std=0.3)  # so that what is told matters
    torch.nn.init.normal_(model.ended, std=0.3)
    return model


def thoughts_of(count: int) -> list[Thought]:
    random = torch.Generator().manual_seed(2)
    return [Thought(number, torch.randn(2, 8, generator=random)) for number in range(count)]


def test_text_is_told_first_in_a_row_then_at_the_pace_of_the_codes() -> None:
    timetable = random_talker().tokenizer.timetable
    assert timetable(12, 5).tolist() == [0, 1, 2, NOTHING, NOTHING, 3, NOTHING, NOTHING, 4, NOTHING, NOTHING, END]
    assert timetable(6, 1).tolist() == [0, END, NOTHING, NOTHING, NOTHING, NOTHING], "a text shorter than the lead"
    assert timetable(4, 9).tolist() == [0, 1, 2, NOTHING], "speech that ends before all of the text was told"


@pytest.mark.parametrize("tokens", [1, 2, 6, 40])
def test_a_stream_hears_what_training_teaches(tokens: int) -> None:
    model, thoughts = random_talker(), thoughts_of(tokens)
    ids, _ = model.tokenizer.example("", [np.arange(25) % 64])
    ids = torch.from_numpy(ids)[None]
    positions = torch.arange(ids.shape[1])[None]
    due = torch.from_numpy(model.tokenizer.timetable(ids.shape[1], tokens))[None]
    told = torch.stack([thought.told for thought in thoughts])
    with torch.no_grad():
        taught = model.hidden(model.embed(ids, told, due), position_ids=positions, use_cache=False)
        speaking, cache, heard = Speaking(model, Script(iter(thoughts))), DynamicCache(), []
        cuts = [0, 2, *range(3, ids.shape[1] + 1)]
        for start, stop in itertools.pairwise(cuts):
            mask = torch.ones(1, stop, dtype=torch.long)
            heard.append(
                speaking.hidden(
                    ids[:, start:stop], cache=cache, attention_mask=mask, positions=positions[:, start:stop]
                )
            )
    torch.testing.assert_close(torch.cat(heard, dim=1), taught, atol=1e-5, rtol=1e-4)


def test_the_talker_waits_for_the_text_that_is_due_and_for_no_more() -> None:
    written: list[int] = []

    def writing() -> Iterator[Thought]:
        for thought in thoughts_of(30):
            written.append(thought.token)
            yield thought

    speaking, counts = Speaking(random_talker(), Script(writing())), []
    for position in range(9):
        speaking._due([position])
        counts.append(len(written))
    assert counts == [1, 2, 3, 3, 3, 4, 4, 4, 5], "two before the first code, then one with every third"


def test_documents_of_a_pack_hear_only_their_own_text() -> None:
    model, thoughts = random_talker(), thoughts_of(6)
    told = torch.stack([thought.told for thought in thoughts])
    one, _ = model.tokenizer.example("", [np.arange(9)])
    two, _ = model.tokenizer.example("", [np.arange(20, 34)])
    ids = torch.from_numpy(np.concatenate((one, two)))[None]
    positions = torch.cat((torch.arange(len(one)), torch.arange(len(two))))[None]
    first, second = (torch.from_numpy(model.tokenizer.timetable(len(each), 3)) for each in (one, two))
    due = torch.cat((first, torch.where(second >= 0, second + 3, second)))[None]
    with torch.no_grad():
        packed = model.hidden(model.embed(ids, told, due), position_ids=positions, use_cache=False)
        alone = model.hidden(
            model.embed(torch.from_numpy(two)[None], told[3:], second[None]),
            position_ids=positions[:, len(one) :],
            use_cache=False,
        )
    torch.testing.assert_close(packed[:, len(one) :], alone, atol=1e-5, rtol=1e-4)


# ------------------------------------------------------------------------------------------- Thinker


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny text LLM of characters, with a chat template."""
    directory = tmp_path_factory.mktemp("llm")
    torch.manual_seed(0)
    tokenizer = characters("<|im_start|>", "<|im_end|>")
    tokenizer.chat_template = chatml("")
    model = bold(Qwen2ForCausalLM(Qwen2Config(**QWEN2, vocab_size=len(tokenizer), max_position_embeddings=256)))
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def test_a_text_that_is_given_is_read_as_one_that_is_written(llm: Path) -> None:
    thinker = Thinker(ThinkerSection(path=str(llm)), "cpu")
    asked = [{"role": "user", "content": "Go on."}]
    written = list(thinker.write("a", asked, 12))
    assert len(written) == 12
    given = thinker.read(["x", thinker.text(written), "longer than the others"], "Go on.")[1]
    assert [thought.token for thought in given] == [thought.token for thought in written]
    for one, other in zip(given, written, strict=True):
        torch.testing.assert_close(one.told, other.told, atol=1e-4, rtol=1e-3)


def test_another_thinker_is_refused(llm: Path) -> None:
    with pytest.raises(BadInput, match=r"The Talker's Thinker is 0000.*thinker=PATH"):
        Thinker(ThinkerSection(path=str(llm), weights_sha256="0" * 64), "cpu")


# ------------------------------------------------------------------------------------------- adapters and training


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, llm: Path) -> Path:
    """An untrained Talker with its codec, for the tiny LLM."""
    directory = tmp_path_factory.mktemp("talker")
    base = codec_of(save_codec(directory / "codec"))
    thinker = Thinker(ThinkerSection(path=str(llm)), "cpu")
    made = config(
        thinker={"path": str(llm), "width": thinker.width, "weights_sha256": thinker.digest},
        codec={
            "spec": "codec",
            "codebook_sizes": [64],
            "frame_rates": [50.0],
            "sample_rate": 16000,
            "weights_sha256": base.info().weights_sha256,
        },
        core={"width": 32, "layers": 1, "heads": 2, "feed_forward": 64, "positions": 256},
    )
    torch.manual_seed(0)
    save_checkpoint(directory, "talker", made.model_dump(mode="json"), Talker(made).state_dict(), {"name": "tiny"})
    return directory


def test_a_voice_says_the_same_whole_and_in_chunks(checkpoint: Path) -> None:
    voice: Any = modelspec.resolve(f"{checkpoint},max_seconds=1").build()
    request = SynthesisRequest("a", "Say this.", seed=3)
    whole = voice.synthesize([request])[0]
    chunks = list(voice.stream(request))
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), whole.samples)
    assert whole.metadata["tokens"] <= 50 and len(chunks) > 1
    assert "Thinker" not in voice.info().name and len(voice.info().weights_sha256) == 64
    with pytest.raises(BadInput, match="a: there is no text to speak"):
        voice.synthesize([SynthesisRequest("a", " ")])


def test_a_partner_speaks_before_it_has_written_everything(checkpoint: Path) -> None:
    partner: Any = modelspec.resolve(f"thinker-talker,path={checkpoint},max_seconds=1,asr=oracle").build()
    request = ChatRequest("a", [{"role": "user", "content": "Go on."}], max_new_tokens=40)
    pieces = list(partner.reply_stream(request))
    first = next(index for index, piece in enumerate(pieces) if piece.audio is not None)
    before = "".join(piece.text or "" for piece in pieces[: first + 1])
    reply = partner.reply([request])[0]
    assert 0 < len(before) < len(reply.text) == 40
    assert "".join(piece.text or "" for piece in pieces) == reply.text
    heard = np.concatenate([piece.audio.samples for piece in pieces if piece.audio is not None])
    np.testing.assert_array_equal(heard, reply.audio.samples)


@pytest.mark.parametrize("size", ["smoke", "cpu", "reference", "scale"])
def test_every_size_of_the_recipe_can_be_built(size: str) -> None:
    recipe = load("conversation/talker", size)
    codec = {"spec": "x", "codebook_sizes": [1000], "frame_rates": [50.0], "sample_rate": 16000}
    made = recipe.read(TalkerConfig, {**recipe.model, "codec": codec})
    training = recipe.read(TalkerTrainingConfig, recipe.training)
    assert training.sequence <= made.core.positions


def test_an_option_that_the_trainer_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--init is not for conversation/talker\. Leave it out"):
        train("conversation/talker", "smoke", tmp_path / "out", data=spoken_tones(tmp_path / "speech"), init="x")


@pytest.mark.slow
def test_training_resumes_and_learns_one_batch(tmp_path: Path, llm: Path) -> None:
    data, codec = spoken_tones(tmp_path / "speech"), save_codec(tmp_path / "codec")
    changes = {
        "model": {**config().model_dump(exclude={"codec"}), "thinker": {"path": str(llm)}},
        "training": {"steps": 30, "batch_size": 1, "sequence": 256, "log_every": 10, "validate_every": 30}
        | {"optimizer": {"learning_rate": 5e-3, "betas": [0.9, 0.95], "schedule": "cosine"}},
        "codec": {"spec": str(codec)},
    }
    changes["model"]["core"]["positions"] = 256
    recipe = ResolvedRecipe.model_validate(load("conversation/talker", "smoke").model_dump() | changes)
    card = train_recipe(recipe, data, tmp_path / "whole")
    assert card["training"]["steps"] == 30 and card["validation"]["nats"] > 0

    told = {}
    corpus, folder = open_corpus(data), tmp_path / "parts"
    write_shards(corpus, str(codec), folder / "shards")
    made, _ = Talker.load(tmp_path / "whole")
    thinker = Thinker(made.config.thinker, "cpu")
    for split in ("train", "held-out"):
        told[split] = read_by(thinker, made.config, Shards(folder / "shards", split), folder / f"{split}.safetensors")
    training = recipe.read(TalkerTrainingConfig, recipe.training)

    def trainer() -> TalkerTrainer:
        return TalkerTrainer(made.config, training, corpus, told, folder, name="t", overfit=False, say=lambda _: None)

    trainer().run(stop_at=11)
    resumed = trainer()
    resumed.loop.start(resume=True)
    resumed.run()
    one, other = made.state_dict(), Talker.load(folder)[0].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def uneven(path: Path) -> Path:
    """Sentences of 0.6 to 2.4 s: a pack of 128 positions holds one of them."""
    path.mkdir()
    row, lines = {"text": "Some words.", "speaker": "a", "language": "en", "split": "train"}, []
    for number, seconds in enumerate((0.6, 2.0, 2.2, 2.4)):
        time = np.arange(round(16_000 * seconds)) / 16_000
        soundfile.write(path / f"{number}.wav", 0.1 * np.sin(2 * np.pi * (150 + 10 * number) * time), 16_000)
        lines.append(json.dumps(row | {"id": str(number), "file_name": f"{number}.wav"}) + "\n")
    (path / "metadata.jsonl").write_text("".join(lines))
    return path


@pytest.mark.slow
def test_two_processes_learn_as_one_from_batches_of_different_length(tmp_path: Path, llm: Path) -> None:
    data, codec = uneven(tmp_path / "speech"), save_codec(tmp_path / "codec")
    made = config().model_dump(mode="json", exclude={"codec"})
    made = made | {"thinker": {"path": str(llm)}, "core": made["core"] | {"positions": 512}}
    training = {"steps": 3, "sequence": 128, "log_every": 1, "optimizer": {"learning_rate": 5e-3, "clip_norm": 1.0}}

    def job(batch: int, name: str) -> dict[str, Any]:
        parts = {"model": made, "training": training | {"batch_size": batch}, "codec": {"spec": str(codec)}}
        recipe = ResolvedRecipe.model_validate(load("conversation/talker", "smoke").model_dump() | parts)
        plain = recipe.model_dump(mode="json")
        return {"kind": "talker", "recipe": plain, "data": str(data), "output": str(tmp_path / name)}

    run(job(2, "one"))
    torchrun([job(1, "two")], tmp_path / "jobs.json")
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == 3 and [list(row.values()) for row in two] == [
        pytest.approx(list(row.values()), rel=1e-4) for row in one
    ]


def test_what_another_thinker_made_of_the_texts_is_not_believed(tmp_path: Path, llm: Path) -> None:
    write_shards(spoken_tones(tmp_path / "speech"), str(save_codec(tmp_path / "codec")), tmp_path / "shards")
    shards, file = Shards(tmp_path / "shards"), tmp_path / "told.safetensors"
    thinker, made = Thinker(ThinkerSection(path=str(llm)), "cpu"), config()
    first = read_by(thinker, made, shards, file)
    written = file.stat().st_mtime_ns
    again = read_by(thinker, made, shards, file)
    assert file.stat().st_mtime_ns == written and torch.equal(first["0"], again["0"])
    asked = made.model_copy(update={"thinker": made.thinker.model_copy(update={"questions": ("Who?",)})})
    other = read_by(thinker, asked, shards, file)
    assert not torch.equal(first["0"], other["0"]) and file.stat().st_mtime_ns != written

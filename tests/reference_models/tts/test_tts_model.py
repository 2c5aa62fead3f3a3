"""The speech LMs: what stands in a sequence, what is learned, what a packed batch gives, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from support.tts_fixture import CORE, along_speech, config, some_codes  # noqa: E402

from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY, IGNORE, learned  # noqa: E402
from speech_eval.reference_models.training.checkpoint import read_description  # noqa: E402
from speech_eval.reference_models.tts.building import build, load, save  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402
from speech_eval.reference_models.tts.frame_lm import FrameLM  # noqa: E402
from speech_eval.reference_models.tts.model import SpeechLM, extend  # noqa: E402

torch.set_num_threads(1)
LAYOUTS = ("flat", "interleaved", "csm", "delay")


@pytest.fixture(params=[*LAYOUTS, "along_speech"])
def model(request: pytest.FixtureRequest) -> SpeechLM | FrameLM:
    torch.manual_seed(0)
    return build(along_speech() if request.param == "along_speech" else config(request.param)).eval()


def _speech(model: SpeechLM | FrameLM, said: str, codes: list) -> np.ndarray:
    """The labels of an utterance from the first that is learned on, as the model would have drawn them."""
    _, labels = model.tokenizer.example(said, codes)
    return learned(labels, model.tokenizer.streams)


def test_what_is_learned_is_the_codes_and_their_end(model: SpeechLM | FrameLM) -> None:
    codes = some_codes(model.config, 5)
    drawn = _speech(model, "hi", codes)
    assert (drawn if drawn.ndim == 1 else drawn[:, 0])[-1] == model.tokenizer.end
    for found, own in zip(model.tokenizer.codes(drawn), codes, strict=True):
        assert (found == own).all()


def test_every_learned_token_may_stand_where_it_stands(model: SpeechLM | FrameLM) -> None:
    drawn = _speech(model, "hi", some_codes(model.config, 5))
    for step, token in enumerate(drawn if drawn.ndim == 1 else drawn[:, 0]):
        assert int(token) in model.tokenizer.allowed(step).tolist()


def test_the_end_may_stand_only_after_a_whole_step() -> None:
    model = build(config("interleaved"))
    assert [model.tokenizer.end in model.tokenizer.allowed(step).tolist() for step in range(9)] == [False] * 7 + [
        True,
        False,
    ]


def test_the_example_begins_with_the_prompt_that_generation_goes_on_from(model: SpeechLM | FrameLM) -> None:
    ids, labels = model.tokenizer.example("hi", some_codes(model.config, 5))
    prompt = model.tokenizer.prompt_ids("hi").numpy()
    assert (ids[: len(prompt)] == prompt).all()
    assert (labels[: len(prompt) - 1] == IGNORE).all() and (labels[len(prompt) - 1] != IGNORE).any()


def test_a_cloning_prompt_puts_its_words_before_the_text_and_its_codes_last(model: SpeechLM | FrameLM) -> None:
    codes = some_codes(model.config, 3)
    ids = model.tokenizer.prompt_ids("there", "hello", codes)
    whole, _ = model.tokenizer.example("hello there", codes)
    assert (ids.numpy() == whole[: len(ids)]).all()


def test_packed_documents_cost_what_they_cost_alone(model: SpeechLM | FrameLM) -> None:
    pairs = [
        model.tokenizer.example(text, some_codes(model.config, steps, steps)) for text, steps in (("a", 3), ("bcd", 6))
    ]
    ids, labels = (torch.from_numpy(np.concatenate(part))[None] for part in zip(*pairs, strict=True))
    positions = torch.cat([torch.arange(len(pair[0])) for pair in pairs])[None]
    with torch.no_grad():
        packed = model(ids, labels, positions)
        alone = [model(*(torch.from_numpy(part)[None] for part in pair)) for pair in pairs]
    for kind, nats in packed.items():
        assert float(nats) == pytest.approx(sum(float(one[kind]) for one in alone), rel=1e-5)


def test_without_the_mask_the_second_document_would_see_the_first() -> None:
    torch.manual_seed(0)
    model = build(config("flat")).eval()
    ids, labels = (
        torch.from_numpy(np.concatenate([part, part]))[None]
        for part in model.tokenizer.example("abc", some_codes(model.config, 9))
    )
    with torch.no_grad():
        seen = model(ids, labels)["speech"]
        hidden = model(ids, labels, torch.arange(ids.shape[1] // 2).repeat(2)[None])["speech"]
    assert abs(float(seen - hidden)) > 1e-3


def test_text_laid_along_the_speech_is_seen_at_the_same_distance_at_whatever_length() -> None:
    model = build(along_speech())
    for letters in (2, 9):
        ids = model.tokenizer.prompt_ids("a" * letters, "b" * letters, some_codes(model.config, 20))[None]
        places = torch.arange(ids.shape[1])[None]
        (seen,) = model.along_speech(ids, places)
        speech = seen[-20:]
        assert (speech == places[0, -20:]).all()  # where a stream without its prompt would count on
        # The fourth id is the third letter: two and a half positions for each id before it, from the speech's mark on.
        assert float(seen[3]) == float(speech[0]) - 1 + 2.5 * 3
        torch.testing.assert_close(seen[: 2 * letters + 3].diff(), torch.full((2 * letters + 2,), 2.5))


def test_text_laid_along_speech_is_for_layouts_of_one_stream() -> None:
    with pytest.raises(ValidationError, match="text_stride"):
        config("csm", core=CORE | {"text_stride": 3})


def test_each_codebook_is_late_by_one_more_row_and_the_first_waits_for_the_last() -> None:
    model = build(config("delay"))
    rows, labels = model.tokenizer.example("", [np.array(book) for book in ([1, 2], [3, 4], [5, 6])])
    end, tail = model.tokenizer.end, model.tokenizer.tail
    none, off = EMPTY, IGNORE
    assert rows[-4:, :3].tolist() == [[1, none, none], [2, 3, none], [tail, 4, 5], [tail, none, 6]]
    assert labels[-4:, :3].tolist() == [[2, 3, off], [tail, 4, 5], [tail, off, 6], [end, off, off]]


@given(steps=st.integers(1, 9), seed=st.integers(0, 99), tails=st.integers(0, 4))
def test_rows_of_delayed_codebooks_give_the_codes_back_however_long_the_tail(steps: int, seed: int, tails: int) -> None:
    tokenizer = build(config("delay")).tokenizer
    codes = some_codes(config("delay"), steps, seed)
    rows = learned(tokenizer.example("hi", codes)[1], tokenizer.streams)
    more = np.zeros((tails, tokenizer.streams), dtype=np.int64)
    more[:, 0] = tokenizer.tail
    for said in (rows, rows[:-1], np.concatenate((rows[:-1], more, rows[-1:]))):
        for back, given_codes in zip(tokenizer.codes(said), codes, strict=True):
            assert np.array_equal(back, given_codes)


def test_a_slot_is_written_where_the_one_before_it_was_in_the_row_before() -> None:
    torch.manual_seed(0)
    model = build(config("delay")).eval()
    tail, none = model.tokenizer.tail, EMPTY
    before = torch.tensor([[none, none, none, 9], [5, none, none, none], [5, 6, 7, none], [tail, 6, 7, none]])
    written = model.finish(torch.randn(4, 32), torch.tensor([1, 2, tail, tail]), before, lambda row: row.argmax(-1))
    there = (written != EMPTY).int().tolist()
    assert there == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0]]


def test_a_frame_is_written_from_the_state_before_it() -> None:
    """Changing frame t changes neither the nats of its first code nor the state that its depth codes hang on."""
    torch.manual_seed(0)
    model = build(config("csm")).eval()
    ids, labels = model.tokenizer.example("hi", some_codes(model.config, 6))
    t = len(model.tokenizer.prompt_ids("hi")) + 3  # the row of frame 3; its codes are the labels of the row before
    changed = torch.from_numpy(ids.copy())
    changed[t, 0] = (changed[t, 0] + 1) % 20
    with torch.no_grad():
        before, after = (model.hidden(rows[None])[0] for rows in (torch.from_numpy(ids), changed))
    assert (labels[t - 1, :3] == ids[t, :3]).all()
    assert torch.equal(before[t - 1], after[t - 1]) and not torch.equal(before[t], after[t])


def test_the_depth_decoder_draws_what_it_was_taught_to_weigh() -> None:
    """Greedy frames, code by code through the cache, are those that the teacher-forced logits prefer."""
    torch.manual_seed(0)
    model = build(config("csm")).eval()
    hidden, first = torch.randn(4, 32), torch.tensor([0, 3, 7, 19])
    with torch.no_grad():
        frames = model.finish(hidden, first, torch.empty(0), lambda logits: logits.argmax(-1))[:, :3]
        best = model.depth_nats(hidden, frames)
        for book, size in ((1, 21), (2, 22)):
            for code in range(size):
                other = frames.clone()
                other[:, book] = code
                assert (model.depth_nats(hidden, other)[:, book - 1] >= best[:, book - 1] - 1e-5).all()


def test_the_loss_on_a_share_of_frames_is_unbiased_and_so_is_its_gradient() -> None:
    torch.manual_seed(0)
    model = build(config("csm"))
    ids, labels = (torch.from_numpy(part)[None] for part in model.tokenizer.example("hi", some_codes(model.config, 24)))

    def measure() -> tuple[float, torch.Tensor]:
        model.zero_grad()
        nats = model(ids, labels)["depth"]
        nats.backward()
        return float(nats.detach()), model.heads[0].weight.grad.flatten().clone()

    model.eval()
    whole, gradient = measure()
    model.train()
    draws = [measure() for _ in range(120)]
    values = np.array([value for value, _ in draws])
    assert abs(values.mean() - whole) < 4 * values.std() / np.sqrt(len(values))
    found = torch.stack([g for _, g in draws])
    error = found.std(0) / np.sqrt(len(found))
    assert ((found.mean(0) - gradient).abs() < 5 * error + 1e-6).all()
    assert values.std() > 0  # it is a draw


def test_text_alone_is_learned_from_its_first_token() -> None:
    model = build(config("flat"))
    ids, labels = model.tokenizer.text_example("ab")
    assert len(ids) == 3 and model.counts(torch.from_numpy(labels)) == {"speech": 0, "text": 3}


def test_phonemes_are_read_where_the_configuration_says_so() -> None:
    pytest.importorskip("espeakng_loader")
    model = build(config("flat", frontend="phonemes"))
    said = model.tokenizer.spoken(["Hello, world!"])[0]
    assert said == "həlˈoʊ, wˈɜːld!"
    assert len(model.tokenizer.prompt_ids("Hello, world!")) == len(said) + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("  ",), "no text"),
        (("a" * 300,), "no room to speak"),
        (("a", None, "codes"), "without its transcript"),
        (("a", "b", None), "without its recording"),
    ],
)
def test_what_cannot_be_asked_is_refused(model: SpeechLM | FrameLM, arguments: tuple, message: str) -> None:
    codes = some_codes(model.config, 2)
    with pytest.raises(BadInput, match=message):
        model.tokenizer.prompt_ids(*(codes if item == "codes" else item for item in arguments))


def test_codes_of_another_codec_are_refused(model: SpeechLM | FrameLM) -> None:
    with pytest.raises(BadInput, match="trained on: none"):
        model.tokenizer.prompt_ids("a", "b", [book + 100 for book in some_codes(model.config, 2)])


def test_ids_out_of_place_are_refused() -> None:
    model = build(config("interleaved"))
    with pytest.raises(BadInput, match="not codes of their place"):
        model.tokenizer.codes(np.zeros(7, dtype=np.int64))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"codec": {"spec": "x", "codebook_sizes": [4, 4], "frame_rates": [9, 9]}},
            "needs one codebook",
        ),
        ({"codec": {"spec": "x"}}, "Prepare the token shards"),
    ],
)
def test_a_layout_that_cannot_hold_the_codes_is_refused(change: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        build(config("flat", **change))


def test_a_checkpoint_comes_back_as_it_was(model: SpeechLM | FrameLM, tmp_path: Path) -> None:
    save(tmp_path, model, model.state_dict(), {"name": "tts/test"})
    again, card = load(tmp_path)
    ids, labels = (torch.from_numpy(part)[None] for part in model.tokenizer.example("hi", some_codes(model.config, 5)))
    with torch.no_grad():
        assert model(ids, labels) == again(ids, labels)
    assert card == {"name": "tts/test"} and again.config == model.config
    assert read_description(tmp_path)["config"]["vocabulary"] == model.tokenizer.vocabulary.digest


def test_a_checkpoint_with_another_table_of_ids_is_refused(tmp_path: Path) -> None:
    model = build(config("interleaved"))
    save(tmp_path, model, model.state_dict(), {})
    file = tmp_path / "reference.json"
    # Same shapes, other meaning: offsets by book take the place of those by position.
    file.write_text(file.read_text().replace('"offsets": "position"', '"offsets": "book"'))
    with pytest.raises(BadInput, match=r"its vocabulary .* is not this one"):
        load(tmp_path)


@pytest.fixture
def text_llm(tmp_path: Path) -> Path:
    """A tiny Llama with a byte-level tokenizer, as a hub repository would hold it."""
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    tokenizer.train_from_iterator(
        ["hello there, this is some text"],
        tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    )
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "llm")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings = transformers.LlamaConfig(vocab_size=320, tie_word_embeddings=False, **shape)
    transformers.LlamaForCausalLM(settings).save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def _extended(text_llm: Path) -> TTSConfig:
    core = {"type": "hub", "name": str(text_llm), "positions": 128}
    return config("flat", core=core, frontend="tokenizer")


def test_a_text_llm_keeps_its_words_and_new_tokens_start_at_their_mean(text_llm: Path) -> None:
    model = build(_extended(text_llm))
    assert model.tokenizer.vocabulary.rows()[0] == {"block": "text", "first": 0, "last": 319}
    for layer in (model.core.get_input_embeddings(), model.core.get_output_embeddings()):
        assert layer.weight.shape[0] == 320 + 5 + 40
        assert torch.allclose(layer.weight[320:], layer.weight[:320].mean(0).expand(45, -1))


def test_an_extended_text_llm_loads_without_its_hub(text_llm: Path, tmp_path: Path) -> None:
    model = build(_extended(text_llm)).eval()
    save(tmp_path / "checkpoint", model, model.state_dict(), {})
    text_llm.rename(tmp_path / "gone")
    again, _ = load(tmp_path / "checkpoint")
    assert torch.equal(model.tokenizer.prompt_ids("hello there"), again.tokenizer.prompt_ids("hello there"))
    ids = model.tokenizer.prompt_ids("hello there")[None]
    with torch.no_grad():
        assert torch.equal(model.hidden(ids), again.hidden(ids))


def test_tied_embeddings_stay_tied_when_they_grow() -> None:
    model = build(config("flat", core=CORE | {"tied": True}))
    extend(model.core, 3)
    assert model.core.get_input_embeddings().weight is model.core.get_output_embeddings().weight


def test_text_rows_hold_no_codes_and_code_rows_no_text() -> None:
    model = build(config("csm"))
    rows, _ = model.tokenizer.example("hi", some_codes(model.config, 4))
    text = rows[:, -1] != EMPTY
    assert (rows[text, :-1] == EMPTY).all() and (rows[~text, :-1] != EMPTY).all()

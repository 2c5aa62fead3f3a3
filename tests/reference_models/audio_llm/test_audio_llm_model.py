"""The audio LLM's parts: what fusions give, what CTC hears, whom the gate lets through, what is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from support.tiny_audio_llm import model_section, save_tiny_llm  # noqa: E402

from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.audio_llm import building  # noqa: E402
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig  # noqa: E402
from speech_eval.reference_models.audio_llm.fusion import build_fusion  # noqa: E402
from speech_eval.reference_models.audio_llm.fusion.ctc import CTCHead, placed, spread  # noqa: E402
from speech_eval.reference_models.audio_llm.fusion.spelling import pieces_of  # noqa: E402
from speech_eval.reference_models.audio_llm.generation import Decoding, generate  # noqa: E402
from speech_eval.reference_models.audio_llm.masking import MaskSection  # noqa: E402
from speech_eval.reference_models.audio_llm.model import IGNORED, AudioLLM, Example  # noqa: E402
from speech_eval.reference_models.audio_llm.objectives import divergence, next_token, reading  # noqa: E402
from speech_eval.reference_models.audio_llm.prompts import Heard, Written, as_text  # noqa: E402

torch.set_num_threads(1)
DIM = 16
FUSIONS: list[dict[str, Any]] = [
    {"type": "mlp-fold", "fold": 4, "hidden": 32},
    {"type": "stack-swiglu", "stack": 8, "hidden": 32},
    {"type": "q-former", "window": 15, "queries": 3, "layers": 1, "width": 24, "heads": 2},
    {"type": "hybrid", "fold": 4, "hidden": 32, "codes": 8},
    {"type": "mlp-fold", "fold": 4, "hidden": 32, "context": 2, "dropout": 0.5},
]


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny_llm(tmp_path_factory.mktemp("llm"))


def built(llm: str, tokens: Any = None, **changes: Any) -> AudioLLM:
    torch.manual_seed(3)
    config = AudioLLMConfig.model_validate(model_section("none", llm, **changes))
    return building.build(config, DIM, tokens).eval()


def heard(frames: int, seed: int = 0) -> Any:
    return torch.randn(frames, DIM, generator=torch.Generator().manual_seed(seed))


def asked(model: AudioLLM, text: str | None, frames: int = 20, seed: int = 0) -> Example:
    return Example(f"r{seed}", model.prompter.transcription(text), (heard(frames, seed),), examples=True)


# ------------------------------------------------------------------------------------------------ fusions


@pytest.mark.parametrize("section", FUSIONS, ids=lambda section: str(section["type"]))
def test_a_fusion_gives_positions_that_neither_padding_nor_neighbors_change(section: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = AudioLLMConfig.model_validate({"fusion": section}).fusion
    fusion = build_fusion(config, DIM, 24, rms=0.1).eval()
    long, short = heard(61, 1), heard(30, 2)
    batch = torch.nn.utils.rnn.pad_sequence([long, short], batch_first=True)
    together, counts = fusion(batch, torch.tensor([61, 30]))
    alone, (count,) = fusion(short[None], torch.tensor([30]))
    wanted = {"mlp-fold": (16, 8), "hybrid": (16, 8), "stack-swiglu": (8, 4), "q-former": (15, 6)}[section["type"]]
    assert tuple(counts.tolist()) == wanted and int(count) == wanted[1]
    torch.testing.assert_close(together[1, : wanted[1]], alone[0, : wanted[1]], atol=1e-5, rtol=1e-4)
    assert float(alone.detach().pow(2).mean().sqrt()) == pytest.approx(0.1, rel=0.05), (
        "as large as the LLM's embeddings"
    )


def test_hybrid_tokens_are_the_nearest_centroids() -> None:
    config = AudioLLMConfig.model_validate({"fusion": FUSIONS[3]}).fusion
    fusion: Any = build_fusion(config, DIM, 24, rms=0.1)
    centers = torch.eye(8, DIM) * 10
    fusion.fit(centers.repeat_interleave(20, 0) + torch.randn(160, DIM) * 0.01)
    frames = centers[[2, 5]].repeat_interleave(4, 0)[None]
    first, second = fusion.tokens(frames, torch.tensor([8]))[0].tolist()
    torch.testing.assert_close(fusion.centroids[[first, second]], centers[[2, 5]], atol=0.1, rtol=0)


# ---------------------------------------------------------------------------------------------------- CTC


def a_head() -> CTCHead:
    embeddings = torch.eye(3, 5)
    head = CTCHead(torch.tensor([4, 7, 9]), embeddings, rms=0.2)
    head.silence.weight.data.zero_()
    head.silence.bias.data.fill_(2.0)
    head.scale.data.fill_(2.0)
    return head


def test_soft_embeddings_are_those_of_the_tokens_that_were_heard_without_blanks() -> None:
    head, tokens = a_head(), torch.eye(3, 5) * 8
    silent = torch.zeros(5)
    z = torch.stack([silent, tokens[0], tokens[0], silent, tokens[0], tokens[2], silent])[None]
    (soft,) = head.soft(z, torch.tensor([7]))
    torch.testing.assert_close(soft, head.embeddings[[0, 0, 2]], atol=1e-4, rtol=0)
    assert head.argmax(z, torch.tensor([7])) == [[4, 4, 9]]
    (nothing,) = head.soft(torch.zeros(1, 4, 5), torch.tensor([4]))
    assert nothing.shape == (1, 5), "the LLM gets one position even of silence"


def test_ctc_loss_falls_with_the_right_path_and_unknown_words_have_no_labels() -> None:
    head, tokens = a_head(), torch.eye(3, 5) * 8
    z, counts = torch.stack([tokens[0], torch.zeros(5), tokens[2]])[None], torch.tensor([3])
    right, wrong = head.labels([4, 9]), head.labels([9, 4])
    assert right is not None and wrong is not None and head.labels([4, 5]) is None
    assert float(head.loss(z, counts, [right]).detach()) < 0.1 < 3 < float(head.loss(z, counts, [wrong]).detach())
    assert float(head.frame_loss(z, counts, [torch.tensor([0, head.blank, 2])]).detach()) < 0.2


def test_positions_are_labeled_by_characters_or_by_the_times_of_words() -> None:
    target = torch.tensor([5, 6])
    assert spread(target, [1, 3], 8).tolist() == [5, 5, 6, 6, 6, 6, 6, 6]
    words = [(target, [2, 2], 0.2, 0.6), (torch.tensor([7]), [3], 0.8, 0.81)]
    assert placed(words, 10, blank=9).tolist() == [9, 9, 5, 5, 6, 6, 9, 9, 7, 9]


def test_drawn_tokens_stand_for_the_whole_vocabulary() -> None:
    torch.manual_seed(0)
    head = CTCHead(torch.arange(300), torch.randn(300, 8), rms=1.0)
    z, counts, target = torch.randn(2, 20, 8), torch.tensor([20, 15]), [torch.tensor([3, 250]), torch.tensor([7])]
    whole = float(head.loss(z, counts, target).detach())
    drawn = [float(head.loss(z, counts, target, negatives=60).detach()) for _ in range(50)]
    assert sum(drawn) / 50 == pytest.approx(whole, rel=0.02) and max(drawn) > min(drawn)


def test_tokens_that_are_written_alike_are_found_alike_and_learn_together() -> None:
    torch.manual_seed(0)
    texts = (" walking", " Talking", " zebra")
    head = CTCHead(torch.tensor([2, 5, 9]), torch.zeros(3, 32), rms=1.0, spellings=texts)
    keys = head.keys().detach()
    alike = torch.cosine_similarity(keys[:1], keys[1:]).tolist()
    assert alike[0] > 0.4 > 0.25 > abs(alike[1])
    assert float(keys.pow(2).mean().sqrt()) == pytest.approx(1.0, rel=0.3), "as large as the LLM's embeddings"
    torch.testing.assert_close(head.keys(torch.tensor([2, 0])), head.keys()[[2, 0]])
    assert head.spelling is not None
    head.requires_grad_(False)
    before = head.keys()
    assert head.keys() is before, "computed once while nothing learns"
    head.spelling.weight.add_(1.0)
    assert not torch.equal(head.keys(), before)
    head.requires_grad_(True)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.1, fused=True)  # as in training: it changes no version
    for _ in range(2):
        with torch.no_grad():
            stale = head.eval().keys()
        head.train().keys().sum().backward()
        optimizer.step()
        with torch.no_grad():
            assert not torch.equal(head.eval().keys(), stale)
    assert pieces_of(" It") == pieces_of(" it") != pieces_of("it")


def test_the_llm_gets_its_own_embeddings_of_tokens_found_by_their_letters(llm: str, tmp_path: Path) -> None:
    model = built(llm, torch.arange(5, 25), ctc={"spelled": True})
    with torch.no_grad():
        (soft,) = model.hear([heard(40)])
    table = model.llm.get_input_embeddings().weight[5:25]
    shares = torch.linalg.lstsq(table.T, soft.T).solution
    torch.testing.assert_close((table.T @ shares).T, soft.detach(), atol=1e-4, rtol=1e-3)
    building.save(tmp_path / "saved", model, {"name": "saved"})
    again, _ = building.load(tmp_path / "saved")
    with torch.no_grad():
        torch.testing.assert_close(again.hear([heard(40)])[0], soft)


def test_a_start_with_new_words_keeps_what_was_learned_of_letters(llm: str, tmp_path: Path) -> None:
    first, some = built(llm, torch.arange(5, 25), ctc={"spelled": True}), torch.arange(5, 40)
    building.save(tmp_path / "first", first, {"name": "first"})
    model = built(llm, some, ctc={"spelled": True})
    assert first.ctc is not None and model.ctc is not None
    with torch.no_grad():
        before = model.ctc.keys().clone()
        assert "ctc.spelling.weight" not in building.start_from(model, tmp_path / "first")
        after, wanted = model.ctc.eval().keys(), first.ctc.keys()
    torch.testing.assert_close(after[:20], wanted, atol=1e-3, rtol=1e-3)  # float16 in the checkpoint
    assert not torch.allclose(before[:20], wanted, atol=1e-2)
    assert after[20:].isfinite().all() and after[20:].abs().sum(1).all()


def test_a_start_that_hears_other_tokens_is_refused(llm: str, tmp_path: Path) -> None:
    first = built(llm, torch.arange(5, 25), ctc={"spelled": True})
    assert first.ctc is not None
    first.ctc.tokens[1] = first.ctc.tokens[0]  # as if another tokenizer wrote both alike
    building.save(tmp_path / "first", first, {"name": "first"})
    with pytest.raises(BadInput, match="hears the tokens of another LLM"):
        building.start_from(built(llm, torch.arange(5, 40), ctc={"spelled": True}), tmp_path / "first")


# ------------------------------------------------------------------------------------------------- masking


def test_a_mask_zeroes_stretches_of_time_and_channels_and_is_drawn_anew() -> None:
    torch.manual_seed(0)
    mask, features = MaskSection(noise=0.0, spans=2, frames=6, bands=1, channels=4), heard(60)
    found = [mask.apply(features) for _ in range(20)]
    zeros = [one == 0 for one in found]
    assert all(torch.equal(one[~zero], features[~zero]) for one, zero in zip(found, zeros, strict=True))
    assert all(int(zero.all(1).sum()) <= 12 and int(zero.all(0).sum()) <= 4 for zero in zeros)
    assert len({int(zero.sum()) for zero in zeros}) > 5
    noise = MaskSection(spans=0, bands=0, noise=0.2).apply(heard(2000)) - heard(2000)
    assert float(noise.std()) == pytest.approx(0.2, rel=0.05)
    assert MaskSection().apply(heard(1)).shape == (1, DIM)


# --------------------------------------------------------------------------------------------------- LoRA


def adapted(llm: str, **changes: Any) -> AudioLLM:
    model = built(llm, adapt={"type": "lora", "rank": 4, "targets": ["q_proj", "v_proj"], **changes})
    for name, parameter in model.part("llm").items():
        parameter.data.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    return model


def logits(model: AudioLLM, examples: list[Example]) -> Any:
    with torch.no_grad():
        return model.run(model.rows(examples))


def test_without_audio_the_gated_llm_is_the_base_llm_bit_for_bit(llm: str) -> None:
    text = Example("t", (Written(tuple(range(5, 25))),))
    base, gated, plain = (logits(m, [text]) for m in (built(llm), adapted(llm), adapted(llm, gated=False)))
    assert torch.equal(base, gated)
    assert not torch.allclose(base, plain)
    sound = Example("a", (Written((5, 6)), Heard(), Written((7,))), (heard(20),))
    assert not torch.allclose(logits(built(llm), [sound]), logits(adapted(llm), [sound]))


def test_in_a_batch_with_audio_rows_without_it_stay_the_base_llms(llm: str) -> None:
    text = Example("t", (Written(tuple(range(5, 25))),))
    sound = Example("a", (Written((5, 6)), Heard(), Written((7,))), (heard(20),))
    base, gated = logits(built(llm), [text, sound]), logits(adapted(llm), [text, sound])
    assert torch.equal(base[0], gated[0]) and not torch.allclose(base[1, :13], gated[1, :13])


def test_a_lora_that_is_put_nowhere_is_refused(llm: str) -> None:
    with pytest.raises(BadInput, match="no linear layer named kqv"):
        built(llm, adapt={"type": "lora", "targets": ["kqv"]})


def test_what_learns_is_what_the_stage_names(llm: str) -> None:
    last = built(llm, adapt={"type": "last-layers", "layers": 1, "head": True})
    names = set(last.part("llm"))
    assert "llm.lm_head.weight" in names and any("layers.1." in name for name in names)
    assert not any("layers.0." in name or "embed_tokens" in name for name in names)
    with pytest.raises(BadInput, match="The LLM has no part that is trained"):
        built(llm).part("llm")
    model = adapted(llm)
    model.freeze_except(["fusion"])
    assert {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad} == {"fusion"}


# ----------------------------------------------------------------------------------- conversations and losses


def test_a_transcription_learns_the_reply_and_its_end_and_nothing_else(llm: str) -> None:
    model = built(llm)
    segments = model.prompter.transcription("no")
    learned = [part for part in segments if isinstance(part, Written) and part.learned]
    assert model.text.tokenizer.decode(list(learned[0].ids)) == "no<|im_end|>" and len(learned) == 1
    (place,) = [part for part in segments if isinstance(part, Heard)]
    assert model.text.tokenizer.decode(list(place.transcript)) == " no"
    rows = model.rows([asked(model, "no"), asked(model, "longer", 40, 1)])
    said = [[i for i in row.tolist() if i != IGNORED] for row in rows.labels]
    assert [model.text.tokenizer.decode(ids) for ids in said] == ["no<|im_end|>", "longer<|im_end|>"]


def test_examples_read_once_give_what_the_whole_conversation_gives(llm: str) -> None:
    model = built(llm)
    behind = next_token(model, [asked(model, "no")])["ce"]
    whole = (Written(model.prompter.prefix), *model.prompter.transcription("no"))
    alone = next_token(model, [Example("w", whole, (heard(20),))])["ce"]
    assert float(behind) == pytest.approx(float(alone), abs=1e-5)


def test_padded_rows_give_what_each_gives_alone(llm: str) -> None:
    model = built(llm)
    examples = [asked(model, "no"), asked(model, "a longer one", 60, 1)]
    together, targets = model.predict(model.rows(examples))
    alone = [model.predict(model.rows([one])) for one in examples]
    torch.testing.assert_close(together, torch.cat([found for found, _ in alone]), atol=1e-5, rtol=1e-4)
    assert targets.tolist() == [token for _, found in alone for token in found.tolist()]


def test_the_divergence_is_zero_where_audio_is_heard_as_its_transcript(llm: str, monkeypatch: Any) -> None:
    model = adapted(llm, gated=True)
    examples = [asked(model, "yes")]
    assert float(next_token(model, examples, distil=1.0)["kl"]) > 0.01
    said = model.prompter.spoken_ids("yes")
    monkeypatch.setattr(model, "hear", lambda features: [model.embed(said) for _ in features])
    teacher = reading(model, examples)
    with model.gate.kept_shut():
        student, _ = model.predict(model.rows(examples))
    assert float(divergence(student, teacher)) == pytest.approx(0.0, abs=1e-6)


def test_answers_in_a_batch_are_those_given_alone_and_samples_hang_on_their_seed(llm: str) -> None:
    model = adapted(llm)
    examples = [asked(model, None, 20 + 30 * seed, seed) for seed in range(3)]
    together = generate(model, examples, Decoding(12))
    assert together == [generate(model, [one], Decoding(12))[0] for one in examples]
    drawn = [generate(model, examples[:1], Decoding(12, 1.0), [seed])[0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("messages", "recordings", "named"),
    [
        ([{"role": "user", "content": "say it"}], 1, "1 recordings, and 0 places"),
        ([{"role": "user", "content": "<|audio|>"}], 2, "2 recordings, and 1 places"),
        ([{"role": "user", "content": "<|audio|> or <|audio|>"}], 0, "0 recordings, and 2 places"),
    ],
)
def test_places_and_recordings_must_match(
    llm: str, messages: list[dict[str, str]], recordings: int, named: str
) -> None:
    model = built(llm)
    example = Example("q", model.prompter.segments(messages), tuple(heard(9) for _ in range(recordings)))
    with pytest.raises(BadInput, match=f"q: {named}.*Put one"):
        model.rows([example])


def test_what_the_llm_cannot_read_is_named(llm: str) -> None:
    model = built(llm)
    with pytest.raises(BadInput, match=r"r0: \d+ positions; the LLM reads 256"):
        model.rows([asked(model, "no", 600)])
    with pytest.raises(BadInput, match=r"not \[frames, 16\].*encoder"):
        model.rows([Example("x", (Heard(),), (torch.zeros(5, 3),))])
    with pytest.raises(BadInput, match="leave no room for an answer"):
        generate(model, [Example("y", (Written((5,) * 256),))], Decoding(4))


def test_a_conversation_without_audio_reads_its_transcripts() -> None:
    assert as_text((Written((1,)), Heard((2, 3)))) == (Written((1,)), Written((2, 3)))

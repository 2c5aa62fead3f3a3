"""Token shards and packs: what is written comes back, packs are full, garbage is heard before it is learned."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyarrow")
from support.tts_fixture import config, shards_of, some_codes, tiny_codec, voice  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.audio import load  # noqa: E402
from speech_eval.errors import BadInput, SpeechEvalError  # noqa: E402
from speech_eval.reference_models.data import token_shards  # noqa: E402
from speech_eval.reference_models.data.packing import Packed, Source, documents_of, pack  # noqa: E402
from speech_eval.reference_models.data.token_shards import Shards, write_shards  # noqa: E402
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE  # noqa: E402
from speech_eval.reference_models.tts.building import TokenLM, build  # noqa: E402
from speech_eval.reference_models.tts.check import refuse_garbage  # noqa: E402
from speech_eval.reference_models.tts.training_config import CheckConfig  # noqa: E402

torch.set_num_threads(1)

# ----------------------------------------------------------------------------------------------- shards


def test_shards_hold_the_codec_s_own_codes(tmp_path: Path) -> None:
    folder, _ = shards_of("flat")
    shards, codec = Shards(folder), modelspec.resolve(str(tiny_codec("flat"))).build()
    rows = {row["id"]: row for row in map(json.loads, (voice() / "metadata.jsonl").read_text().splitlines())}
    document = shards[3]
    recording = load(voice() / str(rows[document.id]["file_name"])).resampled(codec.sample_rate)
    (found,) = codec.encode([recording])
    assert document.text == rows[document.id]["text"] and document.spoken == document.text
    assert (document.codes[0] == found.codebooks[0]).all()


def test_shards_are_parquet_with_small_codes_that_datasets_reads() -> None:
    library = pytest.importorskip("datasets")
    folder, _ = shards_of("flat")
    table = library.Dataset.from_parquet(str(folder / "train-00000.parquet"), cache_dir=str(folder / ".cache"))
    assert table.features["codes_0"].feature.dtype == "uint16" and len(table) == len(Shards(folder))


def test_shards_are_much_smaller_than_waveforms_and_say_so() -> None:
    _, summary = shards_of("flat")
    train = summary["splits"]["train"]
    assert train["waveform_bytes"] == pytest.approx(train["hours"] * 3600 * 16000 * 2, rel=0.01)
    assert train["smaller_by"] == round(train["waveform_bytes"] / train["bytes"], 1) > 10


def test_phonemes_are_stored_as_they_will_be_read(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    write_shards(voice(), str(tiny_codec("flat")), tmp_path, text="phonemes")
    document = Shards(tmp_path)[0]
    assert document.spoken != document.text and "ˈ" in document.spoken


def test_shards_are_not_written_again_nor_from_something_else(tmp_path: Path) -> None:
    first = write_shards(voice(), str(tiny_codec("flat")), tmp_path)
    before = (tmp_path / "train-00000.parquet").stat().st_mtime_ns
    assert write_shards(voice(), str(tiny_codec("flat")), tmp_path) == first
    assert (tmp_path / "train-00000.parquet").stat().st_mtime_ns == before
    with pytest.raises(BadInput, match=r"shards of something else: codec_sha256 [0-9a-f]{12}… is now"):
        write_shards(voice(), str(tiny_codec("interleaved")), tmp_path)


def rows_of(folder: Path) -> list[tuple[str, list[int]]]:
    shards = Shards(folder)
    return [(document.id, document.codes[0].tolist()) for document in map(shards.__getitem__, range(len(shards)))]


def test_an_interrupted_encoding_goes_on_with_the_parts_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, encode = list[int](), token_shards._encode
    monkeypatch.setattr(token_shards, "_PART", 4)
    monkeypatch.setattr(token_shards, "_PARTS", 2)

    def interrupted(codec: Any, batch: Any) -> Any:
        if len(encoded) == stop_at:
            raise KeyboardInterrupt
        encoded.append(len(batch))
        return encode(codec, batch)

    monkeypatch.setattr(token_shards, "_encode", interrupted)
    stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        write_shards(voice(), str(tiny_codec("flat")), tmp_path)
    stop_at = -1
    write_shards(voice(), str(tiny_codec("flat")), tmp_path)
    whole, _ = shards_of("flat")
    assert sum(encoded) == 12 and not list(tmp_path.glob(".parts-*"))
    assert rows_of(tmp_path) == rows_of(whole) and len(list(tmp_path.glob("train-*.parquet"))) == 2


def test_several_at_once_share_the_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, encode = list[int](), token_shards._encode
    monkeypatch.setattr(token_shards, "_PART", 2)

    def counted(codec: Any, batch: Any) -> Any:
        encoded.append(threading.get_ident())
        return encode(codec, batch)

    monkeypatch.setattr(token_shards, "_encode", counted)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(write_shards, voice(), str(tiny_codec("flat")), tmp_path) for _ in range(2)]
        first, second = (one.result() for one in asked)
    assert first == second and len(set(encoded)) == 2 and len(encoded) in (6, 7)  # 12 utterances of two splits
    assert rows_of(tmp_path) == rows_of(shards_of("flat")[0])


def test_a_broken_recording_is_passed_over_by_name(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "audio").mkdir(parents=True)
    rows = [json.loads(line) for line in (voice() / "metadata.jsonl").read_text().splitlines()][:3]
    for row in rows:
        target = data / row["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((voice() / row["file_name"]).read_bytes())
    (data / rows[0]["file_name"]).write_bytes(b"not audio")
    (data / "metadata.jsonl").write_text("".join(json.dumps(row | {"split": "train"}) + "\n" for row in rows))
    summary = write_shards(data, str(tiny_codec("flat")), tmp_path / "shards")
    assert list(summary["passed_over"]) == [rows[0]["id"]] and summary["splits"]["train"]["utterances"] == 2


def test_each_text_is_read_in_its_language_and_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    data, said = tmp_path / "data", list[str]()
    rows = [json.loads(line) for line in (voice() / "metadata.jsonl").read_text().splitlines()][:5]
    texts = [("Hello.", "en"), ("Bonjour.", "fr"), ("你好", "en"), ("...", "en"), ("مرحبا", "ar")]
    for row, (text, language) in zip(rows, texts, strict=True):
        target = data / row["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((voice() / row["file_name"]).read_bytes())
        row |= {"text": text, "language": language, "split": "train"}
    (data / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summary = write_shards(data, str(tiny_codec("flat")), tmp_path / "shards", text="phonemes", say=said.append)
    shards = Shards(tmp_path / "shards")
    assert [(shards[i].language, shards[i].spoken) for i in range(2)] == [("en", "həlˈoʊ."), ("fr", "bɔ̃ʒˈuʁ.")]
    assert summary["languages"] == ["en-us", "fr"] and len(summary["passed_over"]) == 3
    assert f"left out {rows[3]['id']} (text): no words in its text '...'" in said
    named = {line.split()[2]: line for line in said if "(language)" in line}
    assert "'你好' is not written in the script of its language, English" in named[rows[2]["id"]]
    assert "not among the known phonemes" in named[rows[4]["id"]]
    assert said[-1] == "left out 3 of 5 texts: 2 language, 1 text"


def test_what_is_no_codec_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="hibari is not a codec"):
        write_shards(voice(), "hibari", tmp_path)


# ---------------------------------------------------------------------------------------------- packing


def _model(layout: str) -> TokenLM:
    torch.manual_seed(0)
    return build(config(layout)).eval()


def _packed(layout: str, length: int = 200, count: int = 60, **options: object) -> Packed:
    tokenizer = _model(layout).tokenizer
    steps = np.random.default_rng(0).integers(2, 12, count)

    def make(index: int) -> tuple:
        return tokenizer.example(f"number {index}", some_codes(tokenizer.config, int(steps[index]), index))

    sources = [Source(str(i), len(make(i)[0]), partial(make, i)) for i in range(count)]
    return Packed(tokenizer, sources, length, **{"batch_size": 4, "seed": 0} | options)  # type: ignore[arg-type]


LAYOUTS = ("flat", "interleaved", "csm", "delay")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_epoch_holds_every_document_once(layout: str) -> None:
    packed = _packed(layout)
    names = [source.name for pack in packed.plan(0) for source in pack]
    assert sorted(names, key=int) == [str(i) for i in range(60)]
    assert packed.plan(0) != packed.plan(1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_packed_batch_costs_what_its_documents_cost_alone(layout: str) -> None:
    batch, model = _packed(layout)[0], _model(layout)
    with torch.no_grad():
        together = model(batch.ids, batch.labels, batch.positions)
        alone: dict[str, float] = {}
        for _, ids, labels in documents_of(batch):
            for kind, nats in model(torch.from_numpy(ids)[None], torch.from_numpy(labels)[None]).items():
                alone[kind] = alone.get(kind, 0.0) + float(nats)
    assert {kind: float(nats) for kind, nats in together.items()} == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_documents_come_out_of_a_batch_as_they_went_in(layout: str) -> None:
    packed = _packed(layout)
    made = {source.name: source.make() for source in packed.sources}
    documents = documents_of(packed[0])
    assert len(documents) == sum(len(row) for row in packed[0].documents)
    for name, ids, labels in documents:
        assert (ids == made[name][0]).all() and (labels == made[name][1]).all()


def test_packs_are_nearly_full() -> None:
    """Lengths like those of sentences at 50 codes a second, in packs of 2048."""
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.5, 0.4, 3000), 60, 1500).astype(int)
    packs = pack([Source(str(i), int(n), tuple) for i, n in enumerate(lengths)], 2048)  # type: ignore[arg-type]
    assert sum(lengths) / (len(packs) * 2048) > 0.98
    assert all(sum(source.length for source in one) <= 2048 for one in packs)


def test_a_document_longer_than_a_pack_is_left_out_by_name() -> None:
    packed = _packed("flat", length=20)
    assert packed.too_long and {s.name for s in packed.sources}.isdisjoint(packed.too_long)
    with pytest.raises(BadInput, match="No document fits into 5 positions"):
        _packed("flat", length=5)


def test_processes_share_the_batches_of_one() -> None:
    whole = _packed("flat", batch_size=4)[3]
    halves = [_packed("flat", batch_size=2, rank=rank, world=2)[3] for rank in (0, 1)]
    assert torch.equal(whole.ids, torch.cat([half.ids for half in halves]))


def test_a_late_batch_is_the_same_without_those_before_it() -> None:
    first = _packed("flat")
    for step in range(30):
        late = first[step]
    assert torch.equal(late.ids, _packed("flat")[29].ids)


def test_labels_without_the_end_of_speech_are_refused() -> None:
    packed = _packed("flat")
    ids, labels = packed.sources[0].make()
    broken = Source("0", len(ids), lambda: (ids, np.where(labels == packed.tokenizer.end, IGNORE, labels)))
    with pytest.raises(SpeechEvalError, match="1 utterances have 0 ends of speech"):
        packed.collate([[broken]])


def test_text_replay_takes_its_share_and_needs_no_end_of_speech() -> None:
    model = build(config("flat"))
    texts = [Source("text", 4, partial(model.tokenizer.text_example, "abc"), ends=0)]
    packed = _packed("flat", texts=texts, text_share=0.5)
    kinds = [source.ends for pack in packed.plan(0) for source in pack]
    assert kinds.count(False) == kinds.count(True) == 60
    counts = model.counts(packed[0].labels)
    assert counts["text"] > 0 and counts["speech"] > 0


# ------------------------------------------------------------------------------- decode what was packed


def test_garbage_is_heard_and_refused_unless_forced() -> None:
    report = {"wer": 0.9, "utterances": 8, "heard": [{"text": "hello there", "heard": "you"}]}
    with pytest.raises(
        BadInput, match=r"90% of the words of 8 decoded utterances are wrong.*'hello there' is recognized as 'you'"
    ):
        refuse_garbage(report, CheckConfig(max_wer=0.3), force=False)
    refuse_garbage(report, CheckConfig(max_wer=0.3), force=True)
    refuse_garbage(report, CheckConfig(max_wer=0.95), force=False)

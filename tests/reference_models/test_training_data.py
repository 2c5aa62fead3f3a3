"""Prepared speech and the segments that training draws from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from support.codec_training_fixture import speech  # noqa: E402

from speech_eval import datasets  # noqa: E402
from speech_eval.audio import Audio, flac_bytes, load  # noqa: E402
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError  # noqa: E402
from speech_eval.metrics.codec.pitch import f0  # noqa: E402
from speech_eval.reference_models.data.corpus import Clip, open_corpus  # noqa: E402
from speech_eval.reference_models.data.natural import (  # noqa: E402
    evaluated_on,
    long_sentences,
    natural_sentences,
    spoken_words,
)
from speech_eval.reference_models.data.prepare import prepare  # noqa: E402
from speech_eval.reference_models.data.questions import questions  # noqa: E402
from speech_eval.reference_models.data.segments import Batches, Segments  # noqa: E402
from speech_eval.reference_models.data.sentences import sentences  # noqa: E402
from speech_eval.reference_models.data.voices import say  # noqa: E402

RATE = 16_000

# ---------------------------------------------------------------------------------------------- prepare


def rows(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]


def test_the_held_out_speaker_is_heard_in_no_other_split() -> None:
    speakers = {split: {row["speaker"] for row in rows(speech()) if row["split"] == split} for split in ("train",)}
    held_out = {row["speaker"] for row in rows(speech()) if row["split"] == "held-out-speaker"}
    assert held_out == {"carlo"} and not held_out & speakers["train"]


def test_what_the_bundled_datasets_hold_out_is_not_trained_on() -> None:
    trained = {row["id"] for row in rows(speech()) if row["split"] == "train"}
    assert trained and not trained & {sample.id for sample in datasets.load_dataset("asterisk-en@held-out").samples}


def test_the_folder_is_a_dataset_of_the_harness_and_so_are_its_held_out_splits() -> None:
    assert len(datasets.load_dataset(speech()).samples) == len(rows(speech()))
    held_out = datasets.load_dataset(speech() / "held-out-speaker.jsonl")
    assert held_out.info.license == "CC-BY-3.0, CC-BY-SA-3.0" and "Carlo Flora" in held_out.info.attribution
    assert {sample.language for sample in held_out.samples} == {"it"}
    assert datasets.check(held_out) == []


def test_generated_sentences_are_spoken_and_labeled_synthetic(tmp_path: Path) -> None:
    pytest.importorskip("hibari")
    found = prepare(tmp_path, ("hibari-generated",), limit=10)
    first = rows(tmp_path)[0]
    assert first["synthetic"] is True and first["text"] == sentences(1)[0]
    assert found["licenses"] == {"hibari-generated": "Apache-2.0, synthetic"}
    assert load(tmp_path / str(first["file_name"])).rate == 24_000


def test_what_was_spoken_before_a_stop_is_not_spoken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hibari")
    whole = prepare(tmp_path, ("hibari-generated",), limit=4)
    rows = (tmp_path / "metadata.jsonl").read_bytes()
    for name in ("prepared.json", "metadata.jsonl", "audio/hibari-generated/000003.flac"):
        (tmp_path / name).unlink()
    spoken: list[str] = []
    monkeypatch.setattr(
        "speech_eval.reference_models.data.prepare.say",
        lambda voice, text, seed: spoken.append(text) or say(voice, text, seed),
    )
    assert prepare(tmp_path, ("hibari-generated",), limit=4) == whole
    assert (tmp_path / "metadata.jsonl").read_bytes() == rows and spoken == [sentences(4)[3]]


def pitch(audio: Audio) -> float:
    return float(np.nanmedian(f0(audio.resampled(RATE).samples)))


def test_several_voices_speak_in_turn_at_about_one_pace_and_differ_in_pitch(tmp_path: Path) -> None:
    pytest.importorskip("hibari")
    prepare(tmp_path, ("hibari-voices",), limit=4)
    speakers = [str(row["speaker"]).split()[0] for row in rows(tmp_path)]
    assert speakers == ["hibari-heart", "hibari-low", "hibari-heart", "hibari-high"]
    text = "The quiet river runs below the old stone bridge."
    spoken = {name: say(name, text, seed=0) for name in ("hibari-low", "hibari-heart", "hibari-high")}
    assert max(one.seconds for one in spoken.values()) < 1.25 * min(one.seconds for one in spoken.values())
    low, own, high = (pitch(one) for one in spoken.values())
    assert own / low == pytest.approx(1.2, rel=0.08) and high / own == pytest.approx(1 / 0.88, rel=0.08)


def test_generated_sentences_are_many_the_same_every_time_and_none_that_is_evaluated_on() -> None:
    pytest.importorskip("hibari")
    found = sentences(2000)
    assert len(set(found)) == 2000 and sentences(100) == found[:100] and sentences(100, seed=1) != found[:100]
    evaluated = {
        sample.text for name in ("sentences-en", "asterisk-en") for sample in datasets.load_dataset(name).samples
    }
    assert not evaluated & set(found)
    assert not any("{" in text for text in found)
    assert 6 < sum(len(text.split()) for text in found) / len(found) < 12


def test_natural_sentences_can_be_spoken_and_none_is_evaluated_on() -> None:
    found = natural_sentences()
    assert len(found) > 30_000 and natural_sentences(50) == found[:50] != natural_sentences(50, seed=1)
    words = [spoken_words(text) for text in found]
    assert len(set(words)) == len(words) and all(3 <= len(text.split()) <= 9 for text in found)
    assert all(text[0].isupper() and text[-1] in ".!?" for text in found)
    assert all(character.isalpha() or character in "'-,;:.!? " for text in found for character in text)
    assert not set(words) & evaluated_on()


def test_long_sentences_join_two_of_every_three_and_repeat_none() -> None:
    found = long_sentences()
    assert long_sentences(50) == found[:50] != long_sentences(50, seed=1)
    assert all(3 <= len(text.split()) <= 20 for text in found) and len(set(found)) == len(found) > 25_000
    first, second, alone = natural_sentences(3, words=(3, 20))
    assert found[0].startswith(first[:-1] + ", ") and found[0].endswith(f" {second[0].lower()}{second[1:]}")
    assert found[1] == alone and not {spoken_words(text) for text in found} & evaluated_on()


def test_questions_are_asked_of_things_that_have_one_answer_and_none_is_evaluated_on() -> None:
    found = questions()
    assert len(found) > 3000 and questions(20) == found[:20] != questions(20, seed=1)
    answers = {question.text: question.answer for question in found}
    assert len(answers) == len(found) and not {spoken_words(text) for text in answers} & evaluated_on()
    assert answers["Is a marigold a plant?"] == "Yes." and answers["What is the opposite of cheap?"] == "Expensive."
    said = list(answers.values())
    assert abs(said.count("Yes.") - said.count("No.")) < 50


def test_spoken_questions_state_their_answers(tmp_path: Path) -> None:
    pytest.importorskip("hibari")
    prepare(tmp_path, ("hibari-questions",), limit=2)
    assert [(row["text"], row["answer"]) for row in rows(tmp_path)] == [(one.text, one.answer) for one in questions(2)]


def test_what_is_evaluated_on_includes_the_questions_inside_recordings() -> None:
    assert {"which planet is closest to the sun", "the conference is now being recorded"} <= evaluated_on()


def test_long_sentences_have_one_voice_and_the_license_of_their_texts(tmp_path: Path) -> None:
    pytest.importorskip("hibari")
    found = prepare(tmp_path, ("hibari-long",), limit=3)
    assert [row["text"] for row in rows(tmp_path)] == long_sentences(3)
    assert {row["speaker"] for row in rows(tmp_path)} == {"hibari-heart (synthetic)"}
    assert found["licenses"] == {"hibari-long": "Apache-2.0 (texts: WordNet-3.0), synthetic"}


def test_every_third_natural_sentence_has_another_voice(tmp_path: Path) -> None:
    pytest.importorskip("hibari")
    found = prepare(tmp_path, ("hibari-natural",), limit=3)
    assert [row["speaker"] for row in rows(tmp_path)] == ["hibari-heart (synthetic)"] * 2 + ["hibari-low (synthetic)"]
    assert [row["text"] for row in rows(tmp_path)] == natural_sentences(3)
    assert found["licenses"] == {"hibari-natural": "Apache-2.0 (texts: WordNet-3.0), synthetic"}
    info = datasets.load_dataset(tmp_path / "train.jsonl").info
    assert info.license == "Apache-2.0 (texts: WordNet-3.0)" and "Princeton University" in info.attribution


def test_recordings_are_kept_as_they_were() -> None:
    row = next(row for row in rows(speech()) if row["source"] == "asterisk-en" and "text" in row)
    source = datasets.load_dataset("asterisk-en")
    (sample,) = [sample for sample in source.samples if sample.id == row["id"]]
    original, prepared = load(source.audio_path(str(sample.audio))), load(speech() / str(row["file_name"]))
    assert prepared.rate == original.rate and np.array_equal(prepared.samples, original.samples)
    assert row["text"] == sample.text


def test_a_prepared_folder_is_not_prepared_again_nor_otherwise(tmp_path: Path) -> None:
    first = prepare(tmp_path, ("asterisk-en", "asterisk-it"), limit=2)
    before = (tmp_path / "metadata.jsonl").stat().st_mtime_ns
    assert prepare(tmp_path, ("asterisk-en", "asterisk-it"), limit=2) == first
    assert (tmp_path / "metadata.jsonl").stat().st_mtime_ns == before
    with pytest.raises(BadInput, match="was prepared as"):
        prepare(tmp_path, ("asterisk-en", "asterisk-it"), limit=3)


def test_a_source_whose_speaker_is_trained_on_cannot_be_held_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="allison also speaks in another source"):
        prepare(tmp_path, ("asterisk-en", "asterisk-es"), "asterisk-es", limit=1)


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No source is named librispeech"):
        prepare(tmp_path, ("librispeech",))


def test_sources_that_share_ids_are_not_prepared_into_one_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="hibari-generated and hibari-voices are the same sentences"):
        prepare(tmp_path / "both", ("hibari-generated", "hibari-voices"), limit=1)
    assert not (tmp_path / "both").exists()


def test_an_output_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SpeechEvalError, match="file/out: cannot be written"):
        prepare(tmp_path / "file" / "out", ("asterisk-en",), limit=1)
    with pytest.raises(SpeechEvalError, match="file: cannot be written"):
        open_corpus(speech(), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# --------------------------------------------------------------------------------------------- segments


def folder_of(tmp_path: Path, **audios: Audio) -> list[Clip]:
    lines = []
    for name, audio in audios.items():
        (tmp_path / f"{name}.flac").write_bytes(flac_bytes(audio))
        lines.append(json.dumps({"file_name": f"{name}.flac", "split": "train"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    return open_corpus(tmp_path).split("train")


def tone(seconds: float, rate: int = RATE, level: float = 0.5) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    return Audio((level * np.sin(2 * np.pi * 220 * time)).astype(np.float32), rate)


def test_a_segment_is_a_function_of_its_number() -> None:
    clips = open_corpus(speech()).training()
    one, other = (Segments(clips, RATE, 0.5, seed=3) for _ in range(2))
    for index in (40, 7, 100):
        assert torch.equal(one[index][0], other[index][0]) and one[index][1] == other[index][1]
    assert not torch.equal(one[7][0], Segments(clips, RATE, 0.5, seed=4)[7][0])


def test_an_epoch_visits_every_clip_as_often_as_it_is_long(tmp_path: Path) -> None:
    clips = folder_of(tmp_path, short=tone(0.3), long=tone(2.0))
    segments = Segments(clips, RATE, 0.5, seed=0)
    for epoch in range(2):
        visited = [segments[epoch * segments.epoch + i][1] for i in range(segments.epoch)]
        assert sorted(visited) == ["long"] * 4 + ["short"]


def test_processes_share_the_sequence_without_overlap() -> None:
    clips = open_corpus(speech()).training()
    segments = Segments(clips, RATE, 0.5, seed=0)
    whole = Batches(segments, 4)[5].audio
    halves = [Batches(segments, 2, rank, 2)[5].audio for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)


def test_segments_have_one_length_whatever_the_file(tmp_path: Path) -> None:
    clips = folder_of(tmp_path, low=tone(1.0, 11_025), short=tone(0.2, 44_100), plain=tone(1.0))
    segments = Segments(clips, RATE, 0.5, seed=0)
    assert {tuple(segments[i][0].shape) for i in range(segments.epoch)} == {(1, 8000)}


def test_gain_stays_within_its_bounds_and_below_full_scale(tmp_path: Path) -> None:
    clips = folder_of(tmp_path, quiet=tone(1.0, level=0.1), loud=tone(1.0, level=0.9))
    segments = Segments(clips, RATE, 0.5, seed=0, gain_db=6.0)
    peaks = {"quiet": [], "loud": []}  # type: dict[str, list[float]]
    for index in range(60):
        audio, name, _ = segments[index]
        peaks[name].append(float(audio.abs().max()))
    assert 0.049 < min(peaks["quiet"]) < 0.06 and 0.17 < max(peaks["quiet"]) < 0.201
    assert max(peaks["loud"]) <= 1.0


def test_silence_within_a_recording_is_passed_over_and_named(tmp_path: Path) -> None:
    """A recording that is checked at the start may still be silent at every place that is drawn."""
    quiet = np.concatenate([tone(0.01).samples, np.zeros(200 * RATE, dtype=np.float32)])
    clips = folder_of(tmp_path, pause=Audio(quiet, RATE), speech=tone(1.0))
    found = [Segments(clips, RATE, 0.5, seed=0)[index] for index in range(3)]
    assert {name for _, name, _ in found} == {"speech"}
    incidents = [incident for item in found for incident in item[2]]
    assert {(incident.clip, incident.kind) for incident in incidents} == {("pause", "silent")}
    with pytest.raises(BadAudio, match="pause: silent"):
        [Segments(clips, RATE, 0.5, seed=0, policy="stop")[index] for index in range(4)]


def test_nothing_but_bad_recordings_ends_the_training(tmp_path: Path) -> None:
    (clip,) = folder_of(tmp_path, speech=tone(1.0))
    (tmp_path / "speech.flac").write_bytes(b"gone bad since")
    with pytest.raises(BadAudio, match="None of the 1 recordings can be used"):
        Segments([clip], RATE, 0.5, seed=0)[0]


def test_a_folder_without_splits_is_split_by_id(tmp_path: Path) -> None:
    names = [f"clip-{number}" for number in range(40)]
    for name in names:
        (tmp_path / f"{name}.flac").write_bytes(flac_bytes(tone(0.1)))
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps({"file_name": f"{name}.flac"}) for name in names))
    corpus = open_corpus(tmp_path)
    train, held_out = ({clip.id for clip in corpus.split(split)} for split in ("train", "held-out"))
    assert train | held_out == set(names) and not train & held_out
    assert held_out == {name for name in names if datasets.held_out(name)}

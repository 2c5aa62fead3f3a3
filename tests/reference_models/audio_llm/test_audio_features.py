"""Features that are computed once, and when the words in them are spoken."""

from __future__ import annotations

import dataclasses
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from support.codec_training_fixture import speech  # noqa: E402
from support.metric_items import announcer  # noqa: E402

from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.audio_llm import features  # noqa: E402
from speech_eval.reference_models.audio_llm.alignment import Aligner, add_word_times, path  # noqa: E402
from speech_eval.reference_models.audio_llm.encoder import SpeechEncoder  # noqa: E402
from speech_eval.reference_models.audio_llm.features import FeatureStore, build_features  # noqa: E402
from speech_eval.reference_models.data.corpus import Corpus, open_corpus  # noqa: E402

torch.set_num_threads(1)
ENCODER = "whisper-tiny.en"


@cache
def corpus() -> Corpus:
    """Six recordings in English, the last without a text."""
    whole = open_corpus(speech())
    *said, last = [clip for clip in whole.clips if clip.sample.language == "en" and clip.seconds < 4][:6]
    wordless = dataclasses.replace(last, sample=last.sample.model_copy(update={"text": None}))
    return dataclasses.replace(whole, clips=(*said, wordless), sha256="of a part")


@cache
def built() -> Path:
    folder = Path(mkdtemp(prefix="speech-eval-test-")) / "features"
    build_features(corpus(), ENCODER, folder)
    return folder


def test_a_store_holds_each_recording_with_words_as_long_as_it_is() -> None:
    store = FeatureStore.open(built())
    said = {clip.id: clip for clip in corpus().clips if clip.sample.text}
    assert [spoken.id for spoken in store] == list(said) and len(said) == 5
    for spoken, frames in zip(store, store.lengths, strict=True):
        assert spoken.text == said[spoken.id].sample.text and spoken.speaker == "allison"
        assert spoken.features.shape == (frames, store.dim) and spoken.features.dtype == np.float16
        assert spoken.seconds == pytest.approx(said[spoken.id].seconds, abs=0.02)
    assert len(store.split("train")) + len(store.split("held-out")) == len(store)


def test_stored_features_are_those_of_the_encoder() -> None:
    store, encoder = FeatureStore.open(built()), SpeechEncoder(ENCODER)
    clip = next(clip for clip in corpus().clips if clip.id == store[0].id)
    (direct,) = encoder([announcer(clip.id.removeprefix("en-")).samples])
    stored = torch.from_numpy(np.array(store[0].features, dtype=np.float32))
    assert torch.nn.functional.cosine_similarity(stored, direct, dim=-1).min() > 0.98  # bfloat16 against float32


def test_a_stopped_build_goes_on_and_a_finished_one_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_ROWS", 2)
    heard: list[int] = []
    hear = SpeechEncoder.forward

    def counted(self: SpeechEncoder, waves: list[object], names: list[str]) -> object:
        if len(heard) == 1 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        heard.append(len(waves))
        return hear(self, waves, names)  # type: ignore[arg-type]

    monkeypatch.setattr(SpeechEncoder, "forward", counted)
    part = dataclasses.replace(corpus(), clips=tuple(clip for clip in corpus().clips if clip.sample.text))
    with pytest.raises(KeyboardInterrupt):
        build_features(part, ENCODER, tmp_path / "features")
    with pytest.raises(BadInput, match="only 1 files were written so far"):
        FeatureStore.open(tmp_path / "features")
    store = build_features(part, ENCODER, tmp_path / "features")
    assert heard == [2, 2, 1] and [spoken.id for spoken in store] == [clip.id for clip in part.clips]
    build_features(part, ENCODER, tmp_path / "features")
    assert heard == [2, 2, 1]


def test_features_of_other_data_or_another_encoder_are_refused_by_name() -> None:
    other = dataclasses.replace(corpus(), sha256="of another")
    with pytest.raises(BadInput, match=r"data.sha256 'of a part' is now 'of another'"):
        build_features(other, ENCODER, built())
    with pytest.raises(BadInput, match=r"encoder.spec 'whisper-tiny.en' is now 'whisper-base'"):
        build_features(corpus(), "whisper-base", built())
    with pytest.raises(BadInput, match=r"holds no features\.json"):
        FeatureStore.open(speech())


def test_features_are_those_of_the_layer_that_is_asked_for(tmp_path: Path) -> None:
    one = dataclasses.replace(corpus(), clips=corpus().clips[:1])
    store = build_features(one, ENCODER, tmp_path / "first", layer=1)
    assert store.plan["encoder"]["layer"] == 1
    assert not np.allclose(store[0].features, FeatureStore.open(built())[0].features)
    with pytest.raises(BadInput, match=r"has the hidden states 0 to 4, not 5"):
        build_features(one, ENCODER, tmp_path / "none", layer=5)


def test_stores_of_one_encoder_are_united_and_an_utterance_is_in_one_of_them(tmp_path: Path) -> None:
    *four, fifth = [clip for clip in corpus().clips if clip.sample.text]
    for name, clips in (("a", tuple(four)), ("b", (fifth,))):
        build_features(dataclasses.replace(corpus(), clips=clips, sha256=name), ENCODER, tmp_path / name)
    store = FeatureStore.open(f"{tmp_path / 'a'},{tmp_path / 'b'}")
    assert [spoken.id for spoken in store] == [clip.id for clip in (*four, fifth)]
    assert store.plan["data"]["recordings"] == 5 and np.array_equal(
        store[4].features, FeatureStore.open(built())[4].features
    )
    with pytest.raises(BadInput, match="is in two of the stores"):
        FeatureStore.open(f"{tmp_path / 'a'}, {tmp_path / 'a'}")


def test_features_that_are_damaged_are_refused_by_name(tmp_path: Path) -> None:
    shutil.copytree(built(), tmp_path / "store")
    features, lines = tmp_path / "store" / "features-00000.npy", tmp_path / "store" / "features-00000.jsonl"
    whole, told = features.read_bytes(), lines.read_text("utf-8")
    np.save(features, np.load(features)[:-1])
    with pytest.raises(BadInput, match="and its lines state"):
        FeatureStore.open(tmp_path / "store")
    for content, text in ((whole[:100], told), (b"", told), (whole, told[:50]), (whole, '{"id": "x"}\n')):
        features.write_bytes(content)
        lines.write_text(text, "utf-8")
        with pytest.raises(BadInput, match=r"features-00000\.npy cannot be read"):
            FeatureStore.open(tmp_path / "store")


def test_word_times_find_two_recordings_in_their_union() -> None:
    """Hello, .8 s of silence, goodbye: the second word begins where its recording does."""
    first, second = announcer("hello").samples, announcer("vm-goodbye").samples
    pause = np.zeros(12_800, dtype=np.float32)
    (found,) = SpeechEncoder(ENCODER)([np.concatenate([first, pause, second])])
    hello, goodbye = Aligner(ENCODER)(found.numpy().astype(np.float16), "Hello. Goodbye!")
    assert (hello.text, goodbye.text) == ("Hello.", "Goodbye!")
    boundary = (len(first) / 16_000, (len(first) + len(pause)) / 16_000 + 0.2)
    assert boundary[0] - 0.2 < goodbye.start < boundary[1]


def test_word_times_are_written_into_the_store_once() -> None:
    store = add_word_times(FeatureStore.open(built()))
    for spoken in store:
        assert " ".join(word.text for word in spoken.words) == " ".join(spoken.text.split())
        times = [time for word in spoken.words for time in (word.start, word.end)]
        assert times == sorted(times) and times[-1] <= spoken.seconds
    files = {file: file.stat().st_mtime_ns for file in built().glob("*.jsonl")}
    add_word_times(store)
    assert files == {file: file.stat().st_mtime_ns for file in built().glob("*.jsonl")}


def test_the_path_gives_every_row_its_frames_in_order() -> None:
    scores = np.array([[5, 4, 0, 0, 0, 0], [0, 0, 0, 3, 0, 0], [0, 0, 0, 0, 2, 2]], dtype=np.float32)
    assert path(scores).tolist() in ([0, 2, 4], [0, 3, 4])
    assert path(np.eye(4, dtype=np.float32)).tolist() == [0, 1, 2, 3]

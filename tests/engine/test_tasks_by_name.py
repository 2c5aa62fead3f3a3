"""Tasks by name, group and glob, and what a task of one's own may be."""

from __future__ import annotations

import pytest

from speech_eval import Answer, DepthSweep, Task, Timed, Variant
from speech_eval.engine import task as tasks
from speech_eval.engine.task import GROUPS, TASKS, named, register_group
from speech_eval.errors import BadInput, UnknownName


def plain(**changed: object) -> Task:
    stated = {
        "name": "mine",
        "version": 1,
        "interface": "SpeechRecognizer",
        "dataset": "asterisk-en",
        "metrics": ("wer[whisper-normalizer@20250625]",),
        "primary": "wer[whisper-normalizer@20250625]/wer",
        "protocol": "mine@1",
        "description": "A task",
    }
    return Task(**{**stated, **changed})  # type: ignore[arg-type]


def test_names_groups_and_globs_become_names_once_and_in_order() -> None:
    assert named(["latency", "seed-tts-all", "asr*", "latency*"]) == [
        *("latency", "seed-tts-en", "seed-tts-zh", "seed-tts-hard", "asr", "latency-load")
    ]


def test_every_group_holds_tasks_and_no_group_hides_a_task() -> None:
    assert GROUPS and all(name in TASKS for names in GROUPS.values() for name in names)
    assert not set(GROUPS) & set(TASKS)


@pytest.mark.parametrize(
    ("pattern", "hint"), [("voicebenc", "voicebench"), ("latensy", "latency"), ("zz*", "list tasks")]
)
def test_an_unknown_name_is_an_error_with_the_nearest_names(pattern: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=hint):
        named([pattern])


def test_a_group_does_not_take_a_name_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "GROUPS", dict(GROUPS))
    with pytest.raises(BadInput, match="taken"):
        register_group("voicebench", ("asr",))
    with pytest.raises(BadInput, match="taken"):
        register_group("asr", ("latency",))


def test_the_short_form_is_a_task_of_one_variant() -> None:
    task = plain()
    assert task.variants == {"SpeechRecognizer": Variant("asterisk-en", task.metrics, task.primary)}
    assert task.generate == Answer() and task.interface_for(["AudioCodec"]) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"interface": "Recogniser"}, "no known interface"),
        ({"interface": ""}, "no known interface"),
        ({"primary": "cer[whisper-normalizer@20250625]"}, "not among its metrics"),
    ],
)
def test_a_task_that_cannot_be_run_is_refused(changed: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        plain(**changed)


def test_a_point_of_a_sweep_is_a_task_of_its_own() -> None:
    point = plain(generate=Timed(concurrency=(1, 4))).at(4)
    assert (point.name, point.point and point.point.value) == ("mine@concurrency=4", 4)
    assert plain(generate=DepthSweep()).at(2).name == "mine@depth=2"

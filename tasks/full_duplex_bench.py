"""Full-Duplex-Bench v1.5: what an agent does when speech overlaps its own. The recordings are not bundled: give them
with `--data`. Behavior, voice before and after, and v2's conversations are scored from records, with
`speech-eval metric` (docs/protocols.md)."""

from __future__ import annotations

from collections.abc import Callable

from speech_eval import Task, register_task

_TIMING = "overlap-timing[vad-segments@1]"


def _scenario(name: str, description: str, *, ranked: bool = False) -> Callable[[], Task]:
    """A kind of overlapping speech. Only after an interruption is the fastest answer the best one."""

    @register_task
    def task() -> Task:
        return Task(
            name=f"fdb-{name}",
            version=1,
            interface="DuplexAgent",
            dataset=f"fdb-{name}",
            metrics=(_TIMING,),
            primary=f"{_TIMING}/response",
            protocol=f"fdb@1.5[vad-segments@1]: {name}",
            description=f"Full-Duplex-Bench v1.5, {description}: stop and response latency",
            axes={} if ranked else {"timing": (_TIMING,)},
        )

    return task


user_interruption = _scenario("user-interruption", "the user interrupts", ranked=True)
user_backchannel = _scenario("user-backchannel", "the user says that they listen")
talking_to_other = _scenario("talking-to-other", "the user talks to someone else")
background_speech = _scenario("background-speech", "others talk in the background")

SCENARIOS = tuple(
    f"fdb-{name}" for name in ("user-interruption", "user-backchannel", "talking-to-other", "background-speech")
)

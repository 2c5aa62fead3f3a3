"""AIR-Bench's chat part: free answers to questions about recordings, rated by a judge. Its foundation part, which has
options, is an entry of the catalog."""

from __future__ import annotations

from speech_eval import Answer, Question, Task, register_task

_METRIC = "judge[air-bench@9832476]"


@register_task
def air_bench_chat() -> Task:
    return Task(
        name="air-bench-chat",
        version=1,
        interface="AudioLanguageModel",
        dataset="air-bench-chat",
        metrics=(_METRIC,),
        primary=f"{_METRIC}/average",
        protocol="air-bench-chat@9832476",
        generate=Answer(max_new_tokens=512, question=Question("{question}")),
        description="AIR-Bench chat: questions about speech, sound and music, rated by a judge in both orders",
    )

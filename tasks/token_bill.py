"""What a codec's tokens cost a language model."""

from __future__ import annotations

from speech_eval import Task, register_task


@register_task
def token_bill() -> Task:
    """Every layout is reported separately: which one a model can use depends on the model, not on the codec. The
    numbers do not say how good the speech is; read them beside `codec-reconstruction`."""
    return Task(
        name="token-bill",
        version=1,
        interface="AudioCodec",
        dataset="asterisk-en",
        metrics=(
            "token-bill[layouts@1]",
            "text-tokens[smollm2@1]",
            "bitrate[measured@1]",
        ),
        primary="token-bill[layouts@1]/flattened",
        protocol="token-bill@1",
        description="Positions, bits and context that a second of recorded speech costs a language model, by layout",
    )

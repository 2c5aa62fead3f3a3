"""The bundled benchmark tasks, one module each, and the groups that `--tasks` takes. Importing it registers them."""

from speech_eval import register_group
from speech_eval.tasks import (  # noqa: F401
    air_bench,
    asr,
    audiobench,
    choice,
    codec_modelability,
    codec_reconstruction,
    emergent_tts,
    full_duplex_bench,
    instruct_tts,
    latency,
    long_form_asr,
    mmau_pro,
    seed_tts,
    spoken_qa,
    token_bill,
    translation,
    turn_taking,
    voicebench,
)

register_group("open-asr-all", ("open-asr", "open-asr-multilingual"))
register_group("seed-tts-all", ("seed-tts-en", "seed-tts-zh", "seed-tts-hard"))
register_group("voicebench", voicebench.OVERALL)
register_group("fdb-1.5", full_duplex_bench.SCENARIOS)
register_group("codec", ("codec-reconstruction", "token-bill"))

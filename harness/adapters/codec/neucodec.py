"""NeuCodec: the architecture of XCodec2 with another rate and another alignment of its semantic input."""

from __future__ import annotations

from speech_eval.adapters.codec.xcodec2 import XCodec2


class NeuCodec(XCodec2):
    """NeuCodec (`neuphonic/neucodec`): 16 kHz in, 24 kHz out; its semantic input ends one hop earlier."""

    auto_class = "NeuCodecModel"
    margin = 0

    def _rate(self) -> int:
        return int(self._config.output_sampling_rate)

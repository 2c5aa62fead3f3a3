"""Memory of a training step of a single-stream speech LM on one device, by arithmetic: bytes of each part.

    python -m speech_eval.reference_models.tts.memory          the table of docs/training.md

Not counted: what the allocator wastes, and what one operation needs while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from speech_eval.reference_models.tts.training_config import LoRAConfig


@dataclass(frozen=True)
class Shape:
    """A Llama, with `vocabulary` ids."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int
    tied: bool = True

    @property
    def linear(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the layers of a block."""
        kv, wide = self.width // self.heads * self.kv_heads, self.feed_forward
        attention = dict.fromkeys(("q_proj", "o_proj"), (self.width, self.width))
        attention |= dict.fromkeys(("k_proj", "v_proj"), (self.width, kv))
        mlp = dict.fromkeys(("gate_proj", "up_proj"), (self.width, wide))
        return attention | mlp | {"down_proj": (wide, self.width)}

    @property
    def embedding(self) -> int:
        """Weights of embedding and head."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def weights(self) -> int:
        """All weights."""
        block = sum(ins * outs for ins, outs in self.linear.values()) + 2 * self.width
        return self.embedding + self.layers * block + self.width


def learned(shape: Shape, lora: LoRAConfig | None) -> int:
    """Weights that learn."""
    if lora is None:
        return shape.weights
    adapters = sum(lora.rank * sum(shape.linear[target]) for target in lora.targets)
    return shape.layers * adapters + (shape.embedding if lora.embeddings else 0)


def kept_by_block(shape: Shape, bf16: bool) -> int:
    """Bytes that one block keeps per position for its backward pass, with fused attention. Norms and residuals are
    float32 in both cases; in bfloat16 the copies of the weights are kept besides."""
    kv = shape.width // shape.heads * shape.kv_heads
    wide, own, shared = (8, 30, 4) if bf16 else (16, 32, 8)
    return wide * shape.feed_forward + own * shape.width + shared * kv + 4 * shape.heads + 8


def step(
    shape: Shape,
    positions: int,
    *,
    bf16: bool = False,
    recompute: bool = False,
    lora: LoRAConfig | None = None,
    processes: int = 1,
) -> dict[str, float]:
    """Bytes of a step over so many positions of a batch, of which all are learned: float32 weights, gradients and the
    two moments of AdamW, what the blocks keep, and logits with their gradient.

    If `processes` share out the weights, each holds its part, and gathers embedding, head and one block, with their
    gradients, at a time.
    """
    grown, block = learned(shape, lora), kept_by_block(shape, bf16)
    kept = shape.layers * 4 * shape.width + block if recompute else shape.layers * block
    blocks = shape.layers * sum(ins * outs for ins, outs in shape.linear.values())
    one_block = sum(ins * outs for ins, outs in shape.linear.values()) + 2 * shape.width
    gathered = shape.embedding + one_block if processes > 1 else 0
    return {
        "weights": 4 * shape.weights / processes + (2 * (blocks + shape.vocabulary * shape.width) if bf16 else 0),
        "gathered": 8 * gathered,
        "gradients": 4 * grown / processes,
        "moments": 8 * grown / processes,
        "blocks": positions * kept,
        "logits": positions * shape.vocabulary * (10 if bf16 else 8),
    }


# Shapes and batches of the recipes. Llama 3.2 1B has 128 256 ids, LLaSA adds XCodec2's 65 536 and eight marks.
_LLASA_1B = Shape(2048, 16, 32, 8, 8192, 193_800)
TABLE: dict[str, tuple[Shape, int, bool]] = {
    "`tts/llasa` cpu": (Shape(256, 4, 4, 4, 704, 1120), 4 * 1024, False),
    "`tts/llasa` reference": (Shape(288, 6, 6, 6, 768, 1120), 32 * 1024, True),
    "`tts/llasa` scale": (_LLASA_1B, 4 * 2048, True),
    "LLaSA 3B by `--init`": (replace(_LLASA_1B, width=3072, layers=28, heads=24), 4 * 2048, True),
}


def main() -> None:
    """Print the table."""
    print("| GB | weights | positions | all weights | `recompute` | `lora`, `recompute` | 8 × `shard`, `recompute` |")
    print("|" + "---|" * 7)
    for name, (shape, positions, bf16) in TABLE.items():
        ways: tuple[dict[str, Any], ...] = ({}, {}, {"lora": LoRAConfig()}, {"processes": 8})
        found = [
            sum(step(shape, positions, bf16=bf16, recompute=number > 0, **way).values()) / 1e9
            for number, way in enumerate(ways)
        ]
        sizes = " | ".join(f"{total:.3g}" for total in found)
        print(f"| {name} | {shape.weights / 1e6:.4g} M | {positions} | {sizes} |")


if __name__ == "__main__":
    main()

"""The memory of a training step as it is computed on paper, and as PyTorch keeps it."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from speech_eval.reference_models.training.config import OptimizerConfig  # noqa: E402
from speech_eval.reference_models.training.loop import adamw  # noqa: E402
from speech_eval.reference_models.tts.memory import Shape, kept_by_block, learned, step  # noqa: E402
from speech_eval.reference_models.tts.training_config import LoRAConfig  # noqa: E402

torch.set_num_threads(1)
SHAPES = [Shape(64, 2, 4, 4, 128, 50), Shape(96, 3, 6, 2, 160, 70, tied=False)]


def llama(shape: Shape) -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=shape.feed_forward,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            tie_word_embeddings=shape.tied,
        )
    )


def kept(core: Any, positions: int) -> int:
    """Bytes that a forward pass keeps for the backward pass, without weights."""
    own = {parameter.untyped_storage().data_ptr() for parameter in core.parameters()}
    found: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage  # held, so that no other tensor takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = core(input_ids=torch.zeros(1, positions, dtype=torch.long), use_cache=False)
    assert output.last_hidden_state.requires_grad
    return sum(storage.nbytes() for storage in found.values())


@pytest.mark.parametrize("shape", SHAPES)
def test_weights_gradients_and_moments_are_those_of_the_model(shape: Shape) -> None:
    model = llama(shape)
    assert shape.weights == sum(parameter.numel() for parameter in model.parameters())
    optimizer = adamw(model, OptimizerConfig())
    model(input_ids=torch.zeros(1, 4, dtype=torch.long), labels=torch.zeros(1, 4, dtype=torch.long)).loss.backward()
    optimizer.step()
    moments = sum(value.nbytes for state in optimizer.state.values() for key, value in state.items() if "exp" in key)
    gradients = sum(parameter.grad.nbytes for parameter in model.parameters())
    paper = step(shape, 4)
    assert (paper["gradients"], paper["moments"]) == (gradients, moments)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_block_keeps_what_it_is_said_to_keep(shape: Shape) -> None:
    deeper = Shape(**{**vars(shape), "layers": shape.layers + 1})
    more = kept(llama(deeper).base_model, 32) - kept(llama(shape).base_model, 32)
    assert more == pytest.approx(32 * kept_by_block(shape, bf16=False), rel=0.02)


def test_adapters_learn_few_weights() -> None:
    peft = pytest.importorskip("peft")
    shape, lora = SHAPES[1], LoRAConfig(rank=4)
    model = peft.get_peft_model(llama(shape), peft.LoraConfig(r=4, target_modules=list(lora.targets)))
    assert learned(shape, lora) == sum(p.numel() for p in model.parameters() if p.requires_grad)

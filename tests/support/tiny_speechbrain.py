"""Models of SpeechBrain, tiny and random, as folders in the form in which they are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FEATURES = """
# The setting of a training, which nothing here calls.
seed: 1234
__set_seed: !apply:torch.manual_seed [!ref <seed>]
pretrained_path: speechbrain/of-the-hub
sample_rate: 16000
n_fft: 400
n_mels: 16
compute_features: !new:speechbrain.lobes.features.Fbank
    sample_rate: !ref <sample_rate>
    n_fft: !ref <n_fft>
    n_mels: !ref <n_mels>
"""

CTC = (
    FEATURES
    + """
neurons: !ref <n_mels> // 2 * 3
blank_index: 0
output_neurons: 28
normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: global
enc: !new:speechbrain.lobes.models.VanillaNN.VanillaNN
    input_shape: [null, null, !ref <n_mels>]
    activation: !name:torch.nn.LeakyReLU
    dnn_blocks: 1
    dnn_neurons: !ref <neurons>
ctc_lin: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <neurons>
    n_neurons: !ref <output_neurons>
log_softmax: !new:speechbrain.nnet.activations.Softmax
    apply_log: True
asr_model: !new:torch.nn.ModuleList
    - [!ref <enc>, !ref <ctc_lin>]
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    input_shape: [null, null, !ref <n_mels>]
    compute_features: !ref <compute_features>
    normalize: !ref <normalize>
    enc: !ref <enc>
    ctc_lin: !ref <ctc_lin>
    log_softmax: !ref <log_softmax>
tokenizer: !new:speechbrain.dataio.encoder.CTCTextEncoder
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: !ref <blank_index>
modules:
    encoder: !ref <encoder>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        asr: !ref <asr_model>
        normalizer: !ref <normalize>
        tokenizer: !ref <tokenizer>
    paths:
        asr: !ref <pretrained_path>/asr.ckpt
        normalizer: !ref <pretrained_path>/normalizer.ckpt
        tokenizer: !ref <pretrained_path>/tokenizer.txt
"""
)

SEARCHED = (
    FEATURES
    + """
width: 16
normalize: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
enc: !new:speechbrain.nnet.RNN.LSTM
    input_size: !ref <n_mels>
    hidden_size: !ref <width>
emb: !new:speechbrain.nnet.embedding.Embedding
    num_embeddings: 32
    embedding_dim: 8
dec: !new:speechbrain.nnet.RNN.AttentionalRNNDecoder
    enc_dim: !ref <width>
    input_size: 8
    rnn_type: gru
    attn_type: content
    hidden_size: !ref <width>
    attn_dim: 8
    num_layers: 1
seq_lin: !new:speechbrain.nnet.linear.Linear
    input_size: !ref <width>
    n_neurons: 32
asr_model: !new:torch.nn.ModuleList
    - [!ref <enc>, !ref <emb>, !ref <dec>, !ref <seq_lin>]
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    input_shape: [null, null, !ref <n_mels>]
    compute_features: !ref <compute_features>
    normalize: !ref <normalize>
    enc: !ref <enc>
decoder: !new:speechbrain.decoders.S2SRNNBeamSearcher
    embedding: !ref <emb>
    decoder: !ref <dec>
    linear: !ref <seq_lin>
    bos_index: 0
    eos_index: 1
    min_decode_ratio: 0.0
    max_decode_ratio: 0.1
    beam_size: 3
    eos_threshold: 1e3
tokenizer: !new:sentencepiece.SentencePieceProcessor
modules:
    encoder: !ref <encoder>
    decoder: !ref <decoder>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        asr: !ref <asr_model>
        tokenizer: !ref <tokenizer>
"""
)

ECAPA = (
    FEATURES
    + """
emb_dim: 192
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [16, 16, 16, 16, 48]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 8
    lin_neurons: !ref <emb_dim>
classifier: !new:speechbrain.lobes.models.ECAPA_TDNN.Classifier
    input_size: !ref <emb_dim>
    out_neurons: 7
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
        classifier: !ref <classifier>
        label_encoder: !ref <label_encoder>
    paths:
        label_encoder: !ref <pretrained_path>/label_encoder.txt
"""
)


def parts(text: str) -> dict[str, Any]:
    """What the package's own loader makes of a file of this module."""
    from hyperpyyaml import load_hyperpyyaml

    return dict(load_hyperpyyaml(text, {"pretrained_path": "here"}))


def write(text: str, folder: Path) -> Path:
    """The folder of a model whose weights are random."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hyperparams.yaml").write_text(text)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    torch.manual_seed(0)
    made = parts(text)
    for name, part in (("asr", "asr_model"), ("embedding_model",) * 2, ("classifier",) * 2):
        if part in made:
            weights = {key: 3 * value if value.dim() > 1 else value for key, value in made[part].state_dict().items()}
            torch.save(weights, folder / f"{name}.ckpt")
    if text == CTC:
        normalize = made["normalize"]
        normalize.count, normalize.glob_mean, normalize.glob_std = 1, torch.full((16,), -20.0), torch.full((16,), 9.0)
        normalize._save(folder / "normalizer.ckpt")
        tokenizer = made["tokenizer"]
        tokenizer.insert_blank(index=0)
        tokenizer.update_from_iterable("abcdefghijklmnopqrstuvwxyz ", sequence_input=False)
        tokenizer.save(folder / "tokenizer.txt")
    if text == SEARCHED:
        import sentencepiece

        letters = "abcdefghijklmnopqrstuvwxyz ,."
        with (folder / "tokenizer.ckpt").open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter([letters] * 20), model_writer=file, model_type="char", vocab_size=32,
                minloglevel=2,
            )  # fmt: skip
    if text == ECAPA:
        made["label_encoder"].update_from_iterable(list("abcdefg"), sequence_input=False)
        made["label_encoder"].save(folder / "label_encoder.txt")
    return folder

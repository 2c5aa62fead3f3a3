"""What the shipped workers call: signatures of the originals, read from their source, for `tests/workers/`.

    python benchmarks/build_data/worker_signatures.py SOURCES > tests/workers/signatures.json

`SOURCES` has one folder per worker with the source that its worker.toml pins: a clone at that commit, or an unpacked
wheel of that version. Nothing of it is imported or executed.
"""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

WORKERS = Path(__file__).resolve().parents[2] / "workers"

# By worker and file: functions, methods, and after a dot and `=` the attributes of objects that the worker reads.
WANTED: dict[str, dict[str, str]] = {
    "cosyvoice2": {
        "cosyvoice/cli/cosyvoice.py": "CosyVoice.inference_zero_shot CosyVoice.inference_cross_lingual "
        "CosyVoice2.__init__ CosyVoice2.sample_rate="
    },
    "index_tts": {"indextts/infer_v2_5.py": "IndexTTS2.__init__ IndexTTS2.infer"},
    "salmonn": {
        "config.py": "Config.__init__ Config.config=",
        "models/salmonn.py": "SALMONN.from_config SALMONN.generate",
        "utils.py": "prepare_one_sample",
    },
    "kimi_audio": {"kimia_infer/api/kimia.py": "KimiAudio.__init__ KimiAudio.generate"},
    "spark_tts": {
        "cli/SparkTTS.py": "SparkTTS.__init__ SparkTTS.inference SparkTTS.sample_rate= SparkTTS.device= "
        "SparkTTS.audio_tokenizer=",
        "sparktts/models/audio_tokenizer.py": "BiCodecTokenizer.tokenize BiCodecTokenizer.detokenize "
        "BiCodecTokenizer.model=",
        "sparktts/models/bicodec.py": "BiCodec.quantizer= BiCodec.speaker_encoder=",
        "sparktts/modules/speaker/speaker_encoder.py": "SpeakerEncoder.quantizer=",
        "sparktts/modules/vq/factorized_vector_quantize.py": "FactorizedVectorQuantize.codebook_size=",
        "sparktts/modules/fsq/residual_fsq.py": "ResidualFSQ.codebook_size=",
    },
    "glm_tts": {
        "glmtts_inference.py": "load_models generate_long DEVICE=",
        "cosyvoice/cli/frontend.py": "TTSFrontEnd._extract_speech_token TTSFrontEnd._extract_text_token "
        "TTSFrontEnd._extract_spk_embedding TTSFrontEnd._extract_speech_feat TextFrontEnd.text_normalize",
    },
    "outetts": {
        "outetts/interface.py": "Interface",
        "outetts/models/config.py": "ModelConfig.__init__ GenerationConfig",
        "outetts/version/interface.py": "InterfaceHF.load_default_speaker InterfaceHF.create_speaker "
        "InterfaceHF.generate",
        "outetts/version/playback.py": "ModelOutput.audio= ModelOutput.sr=",
    },
    "neutts": {
        "neutts/neutts.py": "NeuTTS.__init__ NeuTTS.infer NeuTTS.infer_stream NeuTTS.encode_reference "
        "NeuTTS.sample_rate="
    },
    "moshi": {
        "moshi/models/loaders.py": "CheckpointInfo.from_hf_repo CheckpointInfo.get_mimi CheckpointInfo.get_moshi "
        "CheckpointInfo.lm_gen_config=",
        "moshi/models/lm.py": "LMGen.__init__ LMGen.step",
        "moshi/models/compression.py": "MimiModel.encode MimiModel.decode MimiModel.sample_rate MimiModel.frame_rate",
        "moshi/modules/streaming.py": "StreamingModule.streaming_forever StreamingModule.reset_streaming",
    },
    "nemo": {
        "nemo/core/classes/common.py": "Model.from_pretrained",
        "nemo/core/classes/modelPT.py": "ModelPT.restore_from",
        "nemo/collections/asr/models/rnnt_models.py": "EncDecRNNTModel.transcribe",
        "nemo/collections/asr/models/aed_multitask_models.py": "EncDecMultiTaskModel.transcribe",
    },
    "f5_tts": {"f5_tts/api.py": "F5TTS.__init__ F5TTS.infer"},
    "chatterbox": {
        "chatterbox/tts.py": "ChatterboxTTS.from_local ChatterboxTTS.from_pretrained ChatterboxTTS.generate "
        "ChatterboxTTS.conds= ChatterboxTTS.sr="
    },
    "sensevoice": {"funasr/auto/auto_model.py": "AutoModel.__init__ AutoModel.generate"},
}


def found(tree: ast.Module, name: str) -> dict[str, Any]:
    """How a function is called; of a dataclass, what its constructor takes; of an attribute, that it is set.

    Raises `LookupError` where the source has no such name.
    """
    *outer, last = name.removesuffix("=").split(".")
    body: list[ast.stmt] = tree.body
    for cls in outer:
        (body,) = [node.body for node in body if isinstance(node, ast.ClassDef) and node.name == cls]
    if name.endswith("="):
        if last not in _assigned(body):
            raise LookupError(name)
        return {"kind": "attribute"}
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == last:
            return {"kind": _kind(node, inside=bool(outer)), "parameters": _parameters(node.args)}
        if isinstance(node, ast.ClassDef) and node.name == last:
            fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            names = [f"{ast.unparse(f.target)}{'' if f.value is None else '=...'}" for f in fields]
            return {"kind": "function", "parameters": ", ".join(names)}
    raise LookupError(name)


def _kind(function: ast.FunctionDef, inside: bool) -> str:
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    named = decorators & {"property", "classmethod", "staticmethod"}
    return named.pop() if named else "method" if inside else "function"


def _parameters(arguments: ast.arguments) -> str:
    """As in the source without annotations; a default that is no literal is an ellipsis."""
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    defaults = (arguments.defaults, arguments.kw_defaults)
    for values in defaults:
        values[:] = [v if v is None or isinstance(v, ast.Constant) else ast.Constant(...) for v in values]
    return ast.unparse(arguments)


def _assigned(body: list[ast.stmt]) -> set[str]:
    """Names that a class or module sets, with or without `self`."""
    names: set[str] = set()
    for node in (inner for statement in body for inner in ast.walk(statement)):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names |= {ast.unparse(item).removeprefix("self.") for target in targets for item in ast.walk(target)}
    return names


def signatures(sources: Path) -> dict[str, Any]:
    """By worker: what is pinned, and what was found by `file:name`."""
    result: dict[str, Any] = {}
    for worker, files in WANTED.items():
        pinned = tomllib.loads((WORKERS / worker / "worker.toml").read_text("utf-8"))
        names: dict[str, Any] = {}
        for file, wanted in files.items():
            tree = ast.parse((sources / worker / file).read_text("utf-8"))
            names |= {f"{file}:{name}": found(tree, name) for name in wanted.split()}
        result[worker] = {"repository": pinned["repository"], "commit": pinned["commit"], "names": names}
    return result


if __name__ == "__main__":
    json.dump(signatures(Path(sys.argv[1])), sys.stdout, indent=1, ensure_ascii=False)
    print()

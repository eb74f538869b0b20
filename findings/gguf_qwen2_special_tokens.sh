#!/usr/bin/env bash
# transformers reads the special tokens and the normaliser of one GGUF file otherwise in 5.17.0 than in 5.24.0.
#
# Versions: transformers 5.17.0 and 5.24.0, both with tokenizers 0.23.3 gguf 0.19.0 and torch 2.13.0
#           (which the reader of GGUF files imports; its build for Linux is large: some GiB with CUDA).
# Input:    a GGUF file of the architecture qwen2, made here. It names token 261 as start, 263 as end, 261 as padding.
# Seen:     5.17.0: no start token at all, and the start token as the end. 5.24.0: all three as the file says.
#           5.17.0 puts letters and their accents together (NFC) first, as Qwen2's own tokenizer.json does; 5.24.0 does
#           not: an accented letter that came in two parts is other tokens. Neither puts a start token before a prompt.
# Why care: code that adds `bos_token_id` when there is one (as an attention sink, say) gets other states from the same
#           file, and generation with 5.17.0 stops at another token.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/read.py" <<'PY'
import os
import sys
import warnings

import gguf

warnings.simplefilter("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import transformers

folder = sys.argv[1]
# A byte-level vocabulary: printable bytes stand for themselves, the others for letters from 256 on.
plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
others = [byte for byte in range(256) if byte not in plain]
letter = {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}
# U+00E9 in one part is bytes C3 A9, in two parts "e" and CC 81.
merges = ["c a", "ca t", f"{letter[0x20]} cat", f"{letter[0xC3]} {letter[0xA9]}"]
words = ["ca", "cat", letter[0x20] + "cat", letter[0xC3] + letter[0xA9]]
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
tokens = [*(letter[byte] for byte in range(256)), *words, "unused", *special]
path = os.path.join(folder, "tiny.gguf")
writer = gguf.GGUFWriter(path, "qwen2")
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("qwen2")
writer.add_token_list(tokens)
writer.add_token_types([1] * (len(tokens) - 3) + [3] * 3)
writer.add_token_merges(merges)
writer.add_bos_token_id(tokens.index("<|endoftext|>"))
writer.add_eos_token_id(tokens.index("<|im_end|>"))
writer.add_pad_token_id(tokens.index("<|endoftext|>"))
writer.add_add_bos_token(False)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()

tokenizer = transformers.Qwen2TokenizerFast.from_pretrained(folder, gguf_file="tiny.gguf", local_files_only=True)
told = [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id]
print(f"start, end, padding: {told}; 'cat cat': {tokenizer('cat cat')['input_ids']};", end=" ")
one, two = (len(tokenizer(text)["input_ids"]) for text in ("\u00e9", "e\u0301"))
print(f"tokens of an accented letter in one part: {one}, in two parts: {two}")
PY

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq torch==2.13.0 gguf==0.19.0 numpy==2.4.6
failed=0
check() {
    # Each with its own huggingface-hub: the two go with different ones.
    "$folder/venv/bin/pip" install -qq --target "$folder/$1" "transformers==$1" tokenizers==0.23.3 numpy==2.4.6
    mkdir "$folder/$1-model"
    seen=$(PYTHONPATH="$folder/$1" "$folder/venv/bin/python" "$folder/read.py" "$folder/$1-model" 2>"$folder/errors" || tail -n 3 "$folder/errors")
    echo "transformers $1: $seen"
    [ "$seen" = "$2" ] || { echo "  expected: $2"; failed=1; }
}
same="'cat cat': [257, 258]; tokens of an accented letter in one part: 1, in two parts:"
check 5.17.0 "start, end, padding: [None, 261, 261]; $same 1"
check 5.24.0 "start, end, padding: [261, 263, 261]; $same 3"
exit "$failed"

#!/usr/bin/env bash
# What safetensors saves of the newest small formats comes back from a file, but neither from bytes nor by slices.
#
# Versions: safetensors 0.8.0 with torch 2.13.0 (torch's build for Linux is large: some GiB with CUDA).
# Input:    tensors of 2 x 4 elements, float4_e2m1fn_x2 (two numbers a byte, the weights of NVFP4) and float8_e8m0fnu (the
#           scales of MXFP8 and MXFP4).
# Seen:     safetensors.torch.save and save_file take both. load_file gives them back; load, of the very same bytes,
#           raises KeyError 'F4' and 'F8_E8M0'. The header states the four-bit tensor as [2, 8], torch as [2, 4]; get_slice
#           tells [2, 8], too, and then refuses every slice, even [:], since it takes that for torch's shape.
# Why care: uploads and caches that hold files in memory break on quantised checkpoints that load from disk, and a reader
#           that compares shapes of the header with those of a model has the last axis twice as long.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq safetensors==0.8.0 torch==2.13.0 numpy==2.4.6

"$folder/venv/bin/python" -W ignore - "$folder" <<'PY'
import json
import sys

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save, save_file

expected = {
    "float4_e2m1fn_x2": "header [2, 8], torch [2, 4]; load_file [2, 4]; load KeyError 'F4'; slice [:] RuntimeError",
    "float8_e8m0fnu": "header [2, 4], torch [2, 4]; load_file [2, 4]; load KeyError 'F8_E8M0'; slice [:] [2, 4]",
    "float8_e4m3fn": "header [2, 4], torch [2, 4]; load_file [2, 4]; load [2, 4]; slice [:] [2, 4]",
}


def tried(read):
    try:
        return str(list(read().shape))
    except KeyError as error:
        return f"KeyError {error}"
    except RuntimeError:
        return "RuntimeError"


failed = False
for name, told in expected.items():
    tensor = torch.arange(8, dtype=torch.uint8).reshape(2, 4).view(getattr(torch, name))
    data, path = save({"w": tensor}), f"{sys.argv[1]}/{name}.safetensors"
    save_file({"w": tensor}, path)
    assert open(path, "rb").read() == data
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["w"]["shape"]
    loaded, parts = tried(lambda: load_file(path)["w"]), tried(lambda: load(data)["w"])
    with safe_open(path, "pt") as file:
        sliced = tried(lambda: file.get_slice("w")[:])
    seen = f"header {header}, torch {list(tensor.shape)}; load_file {loaded}; load {parts}; slice [:] {sliced}"
    print(f"{name}: {seen}")
    if seen != told:
        print(f"  expected: {told}")
        failed = True
sys.exit(failed)
PY

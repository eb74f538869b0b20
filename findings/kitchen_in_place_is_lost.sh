#!/usr/bin/env bash
# Changing a weight of comfy-kitchen in place does nothing, and says nothing.
#
# Versions: comfy-kitchen 0.2.31 with torch 2.13.0, on the CPU (torch's build for Linux is large: some GiB with CUDA).
#           comfy-kitchen declares no dependency, but cannot be imported without torch and packaging.
# Input:    a 32 x 64 bfloat16 weight, quantised with QuantizedTensor.from_float, in each of four formats.
# Seen:     mul_, add_, zero_, fill_, addmm_ (how a LoRA is added), *=, and w[0, 0] = 5 all run without error; those that
#           return something return the very same tensor; and the weight is what it was, bit for bit. torch changes the
#           full copy that is made for the operation, and drops it. copy_ from a plain tensor alone refuses (TypeError).
#           `w * 2` works and gives a plain tensor.
# Why care: steering, merging or zeroing weights in place is a no-op on a quantised model, with no trace in the log.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq comfy-kitchen==0.2.31 torch==2.13.0 numpy==2.4.6 packaging==26.4

"$folder/venv/bin/python" -W ignore - <<'PY'
import sys

import torch
from comfy_kitchen.tensor import QuantizedTensor

torch.manual_seed(0)
plain = torch.randn(32, 64, dtype=torch.bfloat16)


def set_one(weight):
    weight[0, 0] = 5.0


def times(weight):
    weight *= 2
    return weight


in_place = {
    "mul_(2)": lambda weight: weight.mul_(2),
    "add_(1)": lambda weight: weight.add_(1),
    "zero_()": lambda weight: weight.zero_(),
    "fill_(1)": lambda weight: weight.fill_(1),
    "addmm_": lambda weight: weight.addmm_(torch.ones(32, 4, dtype=torch.bfloat16), torch.ones(4, 64, dtype=torch.bfloat16)),
    "*= 2": times,
    "[0, 0] = 5": set_one,
}
failed = False
for layout in ("TensorCoreFP8Layout", "TensorWiseINT8Layout", "TensorCoreMXFP8Layout", "TensorCoreNVFP4Layout"):
    weight = QuantizedTensor.from_float(plain, layout)
    before = weight.dequantize().clone()
    lost = []
    for name, change in in_place.items():
        result = change(weight)
        same = torch.equal(weight.dequantize(), before) and (result is weight or result is None)
        lost += [name] if same else []
    try:
        weight.copy_(plain)
        refused = "copied"
    except TypeError as error:
        refused = f"TypeError: {error}"
    doubled = weight * 2
    works = type(doubled) is torch.Tensor and torch.equal(doubled, before * 2)
    print(f"{layout}: unchanged after {', '.join(lost)}; copy_: {refused}; weight * 2 works: {works}")
    failed |= len(lost) < len(in_place) or not refused.startswith("TypeError") or not works
    failed |= not all(change(plain.clone()) is None or not torch.equal(change(plain.clone()), plain) for change in in_place.values())
sys.exit(failed)
PY

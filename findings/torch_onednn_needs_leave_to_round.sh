#!/usr/bin/env bash
# torch 2.13.0 gives float32 products to oneDNN only when oneDNN may round them to bfloat16, and attention in crumbs.
#
# Versions: torch 2.13.0 with numpy 2.4.2 (the build for Linux is large: some GiB with CUDA), x86-64, on a processor.
# Input:    a product of float32 matrices, and scaled dot product attention of float32 tensors.
# Seen:     with `torch.backends.mkldnn.matmul.fp32_precision` at its default, and at "ieee", oneDNN computes no product. At
#           "bf16" it computes it, and on processors without AMX as exactly as in float32 (error below 1e-5; bfloat16 gives
#           some 1e-3). Where torch's other library is slow, that alone makes an encoder take half the time.
#           At "bf16" fused attention asks oneDNN for every head by itself, 128 times for 32 heads of 40 rows, which takes longer
#           than `sdpa_kernel(SDPBackend.MATH)`, which asks twice.
#           oneDNN keeps what it prepared for every shape: 100 batches of 400 to 499 rows leave tens of MiB, none without.
# Why care: "exact" is the slow setting, and "may round" the fast and, on most processors, exact one. Batches of ever new
#           sizes cost memory for good, so batches should have few sizes.
# Fails (exit 1) when any of this changes; on a processor with AMX (where it rounds) it says so and ends with 0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/products.py" <<'PY'
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

torch.set_num_threads(1)
what, precision, kernel = sys.argv[1:]
torch.backends.mkldnn.matmul.fp32_precision = precision
generator = torch.Generator().manual_seed(0)


def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


with torch.inference_mode():
    if what == "product":
        rows, weight = torch.randn(512, 384, generator=generator), torch.randn(1536, 384, generator=generator)
        exact = rows.double() @ weight.double().T
        found = torch.nn.functional.linear(rows, weight)
        print("error", float((found - exact).norm() / exact.norm()))
    elif what == "attention":
        with sdpa_kernel(SDPBackend.MATH) if kernel == "math" else nullcontext():
            torch.nn.functional.scaled_dot_product_attention(*torch.randn(3, 8, 4, 40, 32, generator=generator))
    else:
        rows, weight = torch.randn(512, 384, generator=generator), torch.randn(1536, 384, generator=generator)
        for _ in range(20):
            torch.nn.functional.linear(rows, weight)
        before = resident()
        for count in range(400, 500):
            torch.nn.functional.linear(rows[:count], weight)
        print("grown", resident() - before)
PY

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.2

seen() { # what precision kernel: how many products oneDNN computed, then what the script says
  ONEDNN_VERBOSE=1 "$folder/venv/bin/python" "$folder/products.py" "$@" >"$folder/out" 2>&1
  printf '%s %s' "$(grep -c 'primitive,exec,.*,\(matmul\|inner_product\),' "$folder/out" || true)" "$(grep -E '^(error|grown)' "$folder/out" || true)"
}

failed=0
expect() { # text, found, pattern
  echo "$1: $2"
  [[ $2 =~ $3 ]] || { echo "  expected $3"; failed=1; }
}

if grep -q amx_tile /proc/cpuinfo; then
  echo "This processor has AMX, where oneDNN rounds: not what this is about."
  exit 0
fi
expect "product, none" "$(seen product none -)" '^0 error [0-9.]+e-0[67]'
expect "product, ieee" "$(seen product ieee -)" '^0 error [0-9.]+e-0[67]'
expect "product, bf16" "$(seen product bf16 -)" '^1 error [0-9.]+e-0[67]'
expect "attention, bf16" "$(seen attention bf16 fused)" '^128 '
expect "attention, bf16, math" "$(seen attention bf16 math)" '^2 '
expect "100 sizes, none" "$(seen sizes none -)" '^0 grown (-?[0-9]|1[0-9])$'
expect "100 sizes, bf16" "$(seen sizes bf16 -)" '^120 grown [0-9]{2,}$'
exit "$failed"

#!/usr/bin/env bash
# torch 2.13.0: the stride of a dimension of size 1, which says nothing, decides how fast a batch of dot products is.
#
# Versions: torch 2.13.0 with numpy 2.4.2 (the build for Linux is large: some GiB with CUDA), x86-64, on a processor, one thread.
# Input:    conditioning of 512 tokens of 4,096 channels, and one direction; `torch.bmm` multiplies each token with it.
# Seen:     `tokens[:, :, None]` and `tokens[:, None].mT` are the same (512, 4096, 1) numbers in the same memory, and differ in
#           one stride, that of the dimension of size 1: (4096, 1, 1) and (4096, 1, 4096). The first takes 3 times as long or
#           more (1.6 ms for 0.2). The second is the fastest of the usual ways to read tokens along a direction, ahead of
#           `tokens @ direction` on one thread, and unlike that it is shared among threads.
# Why care: `[..., None]` and `unsqueeze(-1)` are how one writes it, and give the slow one.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/strides.py" <<'PY'
import statistics
import time

import torch

torch.set_num_threads(1)
TOKENS, WIDTH, TIMES = 512, 4096, 60
generator = torch.Generator().manual_seed(0)
tokens, direction = torch.randn(TOKENS, WIDTH, generator=generator), torch.randn(WIDTH, generator=generator)
rows = direction.expand(TOKENS, 1, WIDTH)
ways = {"[:, :, None]": tokens[:, :, None], "[:, None].mT": tokens[:, None].mT}
one, other = ways.values()
assert one.data_ptr() == other.data_ptr() and torch.equal(one, other)


def taken(columns):
    start = time.process_time()
    torch.bmm(rows, columns)
    return time.process_time() - start


times = {name: [] for name in ways}
for _ in range(TIMES):
    for name, columns in ways.items():
        times[name].append(taken(columns))
exact = tokens.double() @ direction.double()
for name, columns in ways.items():
    error = float((torch.bmm(rows, columns)[:, 0, 0] - exact).abs().max())
    print(name, tuple(columns.shape), columns.stride(), f"{1e3 * statistics.median(times[name]):.2f} ms, off by {error:.0e}")
    assert error < 1e-3
slow, fast = (statistics.median(found) for found in times.values())
print(f"ratio {slow / fast:.1f}")
raise SystemExit(0 if slow > 3 * fast and one.stride() != other.stride() else 1)
PY

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.2
"$folder/venv/bin/python" "$folder/strides.py"

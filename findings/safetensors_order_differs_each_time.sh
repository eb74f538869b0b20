#!/usr/bin/env bash
# safetensors saves the same tensors to other bytes each time once there are notes, and reads them in another order each time.
#
# Version:  safetensors 0.8.0 with numpy 2.4.6.
# Input:    eight float32 tensors of one number, and eight short notes (the header's __metadata__).
# Seen:     without notes, 20 times save() are one sequence of bytes; with eight notes they are some 20 different ones: the
#           notes come in a random order, within one process too. load() of the same bytes gives a dict in some 20 different
#           orders; load_file() of the same file always gives the order of the names.
# Why care: a hash of a file is no name for its content: directions, LoRAs or checkpoints with notes, saved again unchanged,
#           look like new ones to caches and to version control. Zipping load()'s values with a list pairs the wrong tensors.
# Fails (exit 1) when any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq safetensors==0.8.0 numpy==2.4.6

"$folder/venv/bin/python" - "$folder" <<'PY'
import sys

import numpy
from safetensors.numpy import load, load_file, save, save_file

tensors = {f"w{number}": numpy.full(1, number, numpy.float32) for number in range(8)}
notes = {f"note{number}": "text" for number in range(8)}
times, path = range(20), f"{sys.argv[1]}/file.safetensors"
plain, noted = ({save(tensors, metadata=given) for _ in times} for given in (None, notes))
save_file(tensors, path)
data = save(tensors)
bytes_read, file_read = {tuple(load(data)) for _ in times}, {tuple(load_file(path)) for _ in times}
print(f"save without notes, 20 times: {len(plain)} different; with eight notes: {len(noted)} different")
print(f"orders of load(bytes), 20 times: {len(bytes_read)}; of load_file: {len(file_read)}, {' '.join(*file_read)}")
# One or two of twenty may agree by chance, of 40,320 orders.
right = len(plain) == 1 and len(noted) >= 15 and len(bytes_read) >= 15 and file_read == {tuple(tensors)}
sys.exit(not right)
PY

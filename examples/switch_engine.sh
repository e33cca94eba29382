#!/usr/bin/env bash
# Train on one engine, draw the same pictures on every installed one, and print the largest difference from the first.
# Usage: examples/switch_engine.sh [RUN]. About a minute on two CPU cores; expect differences of at most 1e-4 on [0, 1].
set -euo pipefail
run=${1:-runs/switch}
epochs=20
[ "${GENLOOM_EXAMPLES:-}" = short ] && epochs=1
python=${PYTHON:-python}
[ -e "$run/run.toml" ] || genloom train vae/mlp --data digits --preset tiny --epochs "$epochs" --out "$run"
first=
for engine in jax torch tensorflow; do
  "$python" -c "import importlib.util as u; raise SystemExit(u.find_spec('$engine') is None)" || continue
  KERAS_BACKEND=$engine genloom sample "$run" -n 64 --out "$run/$engine.npz"
  first=${first:-$engine}
  "$python" -c "
import numpy as np
a, b = (np.load(f'$run/{name}.npz')['samples'] for name in ('$first', '$engine'))
print('$engine differs from $first by at most', abs(a - b).max())"
done

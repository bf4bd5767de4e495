#!/bin/sh
# Takes out of a virtual environment what runs nothing: tests, C headers, other languages' jars, debug symbols.
set -eu
venv="$1"
site="$(echo "$venv"/lib/python3*/site-packages)"
rm -rf "$site"/ray/jars "$site"/ray/cpp
find "$site" -depth -type d \( -name tests -o -name __pycache__ \) \
  -not -path "*/ray/*" -not -path "*/numpy/*" -exec rm -rf {} +
find "$site" -name '*.pyx' -delete
# Nobody may write here at run time, so Python could not keep what it compiles: done once, now, and
# not compared with the source again. Some files are templates and no Python: compileall says so and leaves them.
"$venv"/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash "$site" || true

#!/bin/sh
# slim-python.sh REQUIREMENTS TARGET: adds the packages to /opt/venv and puts just the files that are new under
# TARGET, so that the image gets a layer without a second copy of Ray.
set -eu
touch /tmp/before
sleep 1
/opt/venv/bin/pip install --no-cache-dir --no-compile --require-hashes --retries 5 -r "$1"
site="$(echo /opt/venv/lib/python3*/site-packages)"
# Tests of the large packages; others (numpy.testing, say) are used at run time.
for package in pandas scipy sklearn matplotlib; do
  find "$site/$package" -depth -type d -name tests -exec rm -rf {} +
done
rm -rf "$site"/jupyterlab/tests "$site"/plotly/package_data/datasets
find /opt/venv/share/jupyter /opt/venv/lib -name '*.map' -type f -delete
# Some files are templates and no Python: compileall says so and leaves them.
find "$site" -name '*.py' -cnewer /tmp/before \
  | /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i - || true
mkdir -p "$2"
cd /
find opt/venv \( -type f -o -type l \) -cnewer /tmp/before -print0 | tar --null -T - -cf - | tar -xf - -C "$2"
du -sm "$2"

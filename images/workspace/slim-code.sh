#!/bin/sh
# Takes out of code-server what was needed to build it only, and checks that it still starts.
set -eu
cd /opt/code-server
find . -type d -path '*/build/Release/obj.target' -prune -exec rm -rf {} +
find . -type d -path '*/build/Release/.deps' -prune -exec rm -rf {} +
find . -name '*.map' -type f -delete
du -sm . /opt/node
node_modules/.bin/code-server --version

#!/bin/sh
# place-managers.sh NODE_MODULES NODE: puts pnpm and Yarn beside npm, as `npm install --global` would.
set -eu
from="$1"
node="$2"
# Of the npm package that Node.js came in.
rm -f "$node/package.json"
for manager in pnpm yarn; do
  mv "$from/$manager" "$node/lib/node_modules/"
done
for program in pnpm pnpx yarn yarnpkg; do
  # ../pnpm/bin/pnpm.cjs: each package says where its programs are.
  target="$(readlink "$from/.bin/$program")"
  ln -s "../lib/node_modules/${target#../}" "$node/bin/$program"
  chmod 0755 "$node/bin/$program"
done

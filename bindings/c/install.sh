#!/bin/sh
# Installs what was built, or takes it away again; `make install` and `make uninstall` call it.
#   install.sh install|uninstall BUILT DESTDIR PREFIX LIBDIR INCLUDEDIR
# BUILT is where cargo has put the libraries, DESTDIR stands before everything and is not in what is written.
set -eu
if [ $# != 6 ]; then
  echo "usage: $0 install|uninstall BUILT DESTDIR PREFIX LIBDIR INCLUDEDIR" >&2
  exit 2
fi
action=$1 built=$2 destdir=$3 prefix=${4%/} libdir=${5%/} includedir=${6%/}
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n '/^\[workspace.package\]/,/^\[dep/s/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml")
abi=$(sed -n 's/^const ABI: u32 = \(.*\);$/\1/p' "$here/build.rs")

for folder in "$prefix" "$libdir" "$includedir"; do
  case $folder in
    /*) ;;
    *) echo "install: $folder is no absolute path" >&2; exit 2 ;;
  esac
done

case $(uname -s) in
  Darwin) built_name=libportlease_c.dylib whole=libportlease.$version.dylib named=libportlease.$abi.dylib plain=libportlease.dylib ;;
  *) built_name=libportlease_c.so whole=libportlease.so.$version named=libportlease.so.$abi plain=libportlease.so ;;
esac
pkgconfig=$libdir/pkgconfig cmake=$libdir/cmake/portlease share=$prefix/share/portlease
# The library brings Rust's unwinder, which gcc would take out of the shared libgcc; with this it takes the archive.
case $(uname -s) in
  Darwin) libgcc= ;;
  *) libgcc=-static-libgcc ;;
esac

# The way from the folder $1 up to the prefix, so that an installed tree can be moved: ../.. for PREFIX/lib/pkgconfig.
# Empty where the folder is not under the prefix.
up() {
  case $1 in
    "$prefix"/*) printf '%s' "${1#"$prefix"/}" | sed 's,[^/][^/]*,..,g' ;;
  esac
}

# $1 as seen from the prefix by the variable $2, or as it is.
under() {
  case $1 in
    "$prefix"/*) printf '%s' "$2/${1#"$prefix"/}" ;;
    *) printf '%s' "$1" ;;
  esac
}

fill() {
  back=$(up "$2")
  case $1 in
    *.cmake.in) base='${PORTLEASE_PREFIX}' start=${back:+'${CMAKE_CURRENT_LIST_DIR}/'$back} ;;
    *) base='${prefix}' start=${back:+'${pcfiledir}/'$back} ;;
  esac
  sed -e "s|@PREFIX@|${start:-$prefix}|" -e "s|@LIBDIR@|$(under "$libdir" "$base")|" \
    -e "s|@INCLUDEDIR@|$(under "$includedir" "$base")|" -e "s|@VERSION@|$version|" -e "s|@LIBS@|$libs|" \
    -e "s|@LIBGCC@|$libgcc|" \
    -e "s|@SHARED@|$whole|" -e "s|@SONAME@|$named|" "$here/$1" >"$destdir$2/$(basename "$1" .in)"
  chmod 644 "$destdir$2/$(basename "$1" .in)"
}

case $action in
  install)
    for file in "$built/$built_name" "$built/libportlease_c.a" "$built/portlease.libs"; do
      [ -f "$file" ] || { echo "install: there is no $file; build it first: make -C bindings/c build" >&2; exit 1; }
    done
    # The compiler's driver brings its own libgcc, the static one for a static program.
    libs=$(sed 's/-lgcc_s *//; s/ *$//' "$built/portlease.libs")
    mkdir -p "$destdir$libdir" "$destdir$includedir" "$destdir$pkgconfig" "$destdir$cmake" "$destdir$share"
    # A copy beside it and then a rename: programs that run go on with the old file.
    cp "$built/$built_name" "$destdir$libdir/$whole.new"
    chmod 755 "$destdir$libdir/$whole.new"
    mv -f "$destdir$libdir/$whole.new" "$destdir$libdir/$whole"
    ln -sf "$whole" "$destdir$libdir/$named"
    ln -sf "$named" "$destdir$libdir/$plain"
    cp "$built/libportlease_c.a" "$destdir$libdir/libportlease.a"
    # Half of it is debugging information of Rust's standard library.
    if command -v strip >/dev/null; then strip -S "$destdir$libdir/libportlease.a"; fi
    cp "$here/../../include/portlease.h" "$destdir$includedir/portlease.h"
    cp "$here/tsan.supp" "$destdir$share/tsan.supp"
    chmod 644 "$destdir$libdir/libportlease.a" "$destdir$includedir/portlease.h" "$destdir$share/tsan.supp"
    fill portlease.pc.in "$pkgconfig"
    fill portlease-static.pc.in "$pkgconfig"
    fill portlease-config.cmake.in "$cmake"
    fill portlease-config-version.cmake.in "$cmake"
    # A library in a folder that the loader keeps a list of is found once the list is new.
    if [ -z "$destdir" ] && [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi
    ;;
  uninstall)
    rm -f "$destdir$libdir/$whole" "$destdir$libdir/$named" "$destdir$libdir/$plain" "$destdir$libdir/libportlease.a" \
      "$destdir$includedir/portlease.h" "$destdir$pkgconfig/portlease.pc" "$destdir$pkgconfig/portlease-static.pc" \
      "$destdir$cmake/portlease-config.cmake" "$destdir$cmake/portlease-config-version.cmake" "$destdir$share/tsan.supp"
    for folder in "$share" "$cmake" "$libdir/cmake" "$pkgconfig" "$libdir" "$includedir" "$prefix/share"; do
      rmdir "$destdir$folder" 2>/dev/null || true # others have something there
    done
    ;;
  *)
    echo "install: $action is neither install nor uninstall" >&2
    exit 2
    ;;
esac

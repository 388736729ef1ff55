#!/bin/sh
# Installs what was built, or takes it away again; `make install` and `make uninstall` call it.
#   install.sh install|uninstall BUILT DESTDIR PREFIX LIBDIR INCLUDEDIR [TRIPLE]
# BUILT is where cargo has put the libraries, DESTDIR stands before everything and is not in what is written.
# TRIPLE is Rust's name of the platform that they are for, if that is not this machine.
set -eu
if [ $# != 6 ] && [ $# != 7 ]; then
  echo "usage: $0 install|uninstall BUILT DESTDIR PREFIX LIBDIR INCLUDEDIR [TRIPLE]" >&2
  exit 2
fi
action=$1 built=$2 destdir=$3 prefix=${4%/} libdir=${5%/} includedir=${6%/} triple=${7:-}
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n '/^\[workspace.package\]/,/^\[dep/s/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml")
abi=$(sed -n 's/^const ABI: u32 = \(.*\);$/\1/p' "$here/build.rs")

for folder in "$prefix" "$libdir" "$includedir"; do
  case $folder in
    /*) ;;
    *) echo "install: $folder is no absolute path" >&2; exit 2 ;;
  esac
done

# What cargo calls the shared library and its import library; the file, its name for programs, its name for the linker;
# what CMake needs to know besides; and the compiler's option by which Rust's unwinder, which gcc would take out of the
# shared libgcc, comes from the archive.
import='' bindir=$libdir libgcc=-static-libgcc
case ${triple:-$(uname -s)} in
  *-apple-darwin | Darwin)
    built_name=libportlease_c.dylib whole=libportlease.$version.dylib named=libportlease.$abi.dylib plain=libportlease.dylib
    property="IMPORTED_SONAME \"@rpath/$named\"" libgcc=''
    ;;
  *-windows-gnu | MINGW* | MSYS*)
    built_name=portlease_c.dll import=libportlease_c.dll.a bindir=$prefix/bin
    whole=portlease-$abi.dll named=$whole plain=$whole property='IMPORTED_IMPLIB "@LIBDIR@/portlease.lib"'
    ;;
  *-windows-*)
    echo "install: the library is built for $triple only as part of other packages; use x86_64-pc-windows-gnu, whose DLL MSVC links by portlease.lib" >&2
    exit 2
    ;;
  *-android*)
    # Apps carry libraries without a number alone.
    built_name=libportlease_c.so whole=libportlease.so named=$whole plain=$whole property="IMPORTED_SONAME \"$named\"" libgcc=''
    ;;
  *)
    built_name=libportlease_c.so whole=libportlease.so.$version named=libportlease.so.$abi plain=libportlease.so
    property="IMPORTED_SONAME \"$named\""
    ;;
esac
pkgconfig=$libdir/pkgconfig cmake=$libdir/cmake/portlease share=$prefix/share/portlease

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
  sed -e "s|@PROPERTY@|$property|" -e "s|@PREFIX@|${start:-$prefix}|" -e "s|@LIBDIR@|$(under "$libdir" "$base")|" \
    -e "s|@INCLUDEDIR@|$(under "$includedir" "$base")|" -e "s|@VERSION@|$version|" -e "s|@LIBS@|$libs|" \
    -e "s|@LIBGCC@|$libgcc|" -e "s|@SHARED@|$(under "$bindir" "$base")/$whole|" "$here/$1" >"$destdir$2/$(basename "$1" .in)"
  chmod 644 "$destdir$2/$(basename "$1" .in)"
}

# Puts the file $1 into the folder $2 as $3, with the mode $4: a copy beside it and then a rename, so that programs that
# run go on with the old file.
put() {
  mkdir -p "$destdir$2"
  cp "$1" "$destdir$2/$3.new"
  chmod "$4" "$destdir$2/$3.new"
  mv -f "$destdir$2/$3.new" "$destdir$2/$3"
}

# The import libraries: the linker's own, which MinGW finds by -lportlease, and one for MSVC, with the list that it is made of.
put_import() {
  put "$built/$import" "$libdir" libportlease.dll.a 644
  dlltool=${DLLTOOL:-x86_64-w64-mingw32-dlltool}
  command -v "${dlltool%% *}" >/dev/null || dlltool=dlltool
  {
    printf 'LIBRARY "%s"\nEXPORTS\n' "$whole"
    sed -n '/^extern "C" {/,/^}/s/^[a-z].*[ *]\(portlease_[a-z_0-9]*\)(.*/  \1/p' "$here/../../include/portlease.h"
  } >"$destdir$libdir/portlease.def"
  # A list of words: LLVM's is often a command of another tool.
  $dlltool -m i386:x86-64 -d "$destdir$libdir/portlease.def" -D "$whole" -l "$destdir$libdir/portlease.lib"
  chmod 644 "$destdir$libdir/portlease.def" "$destdir$libdir/portlease.lib"
}

case $action in
  install)
    for file in "$built/$built_name" "$built/libportlease_c.a" "$built/portlease.libs"; do
      [ -f "$file" ] || { echo "install: there is no $file; build it first: make -C bindings/c build" >&2; exit 1; }
    done
    # The compiler's driver brings its own libgcc, the static one for a static program. libwindows is a crate's list of names
    # of Windows, of which nothing is left to be found.
    libs=$(sed 's/-lgcc_s *//; s/-lwindows\.[0-9.]* *//g; s/ *$//' "$built/portlease.libs")
    mkdir -p "$destdir$pkgconfig" "$destdir$cmake"
    put "$built/$built_name" "$bindir" "$whole" 755
    [ "$named" = "$whole" ] || ln -sf "$whole" "$destdir$libdir/$named"
    [ "$plain" = "$named" ] || ln -sf "$named" "$destdir$libdir/$plain"
    [ -z "$import" ] || put_import
    put "$built/libportlease_c.a" "$libdir" libportlease.a 644
    # Half of it is debugging information of Rust's standard library. This machine's tool knows this machine's format.
    if [ -z "$triple" ] && command -v strip >/dev/null; then strip -S "$destdir$libdir/libportlease.a"; fi
    put "$here/../../include/portlease.h" "$includedir" portlease.h 644
    put "$here/tsan.supp" "$share" tsan.supp 644
    fill portlease.pc.in "$pkgconfig"
    fill portlease-static.pc.in "$pkgconfig"
    fill portlease-config.cmake.in "$cmake"
    fill portlease-config-version.cmake.in "$cmake"
    # A library in a folder that the loader keeps a list of is found once the list is new.
    if [ -z "$destdir" ] && [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi
    ;;
  uninstall)
    rm -f "$destdir$bindir/$whole" "$destdir$libdir/$named" "$destdir$libdir/$plain" "$destdir$libdir/libportlease.a" \
      ${import:+"$destdir$libdir/libportlease.dll.a" "$destdir$libdir/portlease.def" "$destdir$libdir/portlease.lib"} \
      "$destdir$includedir/portlease.h" "$destdir$pkgconfig/portlease.pc" "$destdir$pkgconfig/portlease-static.pc" \
      "$destdir$cmake/portlease-config.cmake" "$destdir$cmake/portlease-config-version.cmake" "$destdir$share/tsan.supp"
    for folder in "$share" "$cmake" "$libdir/cmake" "$pkgconfig" "$libdir" "$bindir" "$includedir" "$prefix/share"; do
      rmdir "$destdir$folder" 2>/dev/null || true # others have something there
    done
    ;;
  *)
    echo "install: $action is neither install nor uninstall" >&2
    exit 2
    ;;
esac

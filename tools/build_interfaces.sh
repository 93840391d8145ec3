#!/usr/bin/env bash
# Builds and installs inspection_cell_interfaces into the virtual environment, with the official rosidl generators.
# usage: tools/build_interfaces.sh VENV
set -euo pipefail
venv=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
export PATH="$venv/bin:$PATH" AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv"
export LD_LIBRARY_PATH="$venv/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
if ! { cmake -S "$here/interfaces" -B "$build" -DCMAKE_CXX_FLAGS="-O0" -DCMAKE_C_FLAGS="-O0" -DBUILD_TESTING=OFF \
         -DCMAKE_INSTALL_PREFIX="$venv" -DPython3_EXECUTABLE="$venv/bin/python" \
       && cmake --build "$build" --parallel "$(nproc)" --target install; } >"$build/log" 2>&1; then
  tail -n 40 "$build/log" >&2
  echo "building the interfaces failed; a C and a C++ compiler and the packages of requirements/demo.txt are needed" >&2
  exit 1
fi

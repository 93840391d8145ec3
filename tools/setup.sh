#!/usr/bin/env bash
# Makes .venv ready: ROS 2 Jazzy, the pinned packages, our interfaces, the package itself. A second call takes a second.
# usage: tools/setup.sh demo|test      PYTHON=python3.12 chooses the interpreter
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?usage: tools/setup.sh demo|test}
venv=.venv

need_system() { # need_system PROBE PACKAGE...: installs Debian packages as root, else says how
  local probe=$1; shift
  if eval "$probe" >/dev/null 2>&1; then return; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $*"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >/tmp/inspection_cell-apt.log 2>&1 \
      || { tail -n 20 /tmp/inspection_cell-apt.log >&2; exit 1; }
  else
    echo "missing: $*. Install it with: sudo apt-get install $*" >&2
    exit 1
  fi
}

find_python() {
  for candidate in ${PYTHON:-} python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      command -v "$candidate"; return
    fi
  done
  echo "Python 3.11 or 3.12 with its venv module is needed; set PYTHON to one" >&2
  return 1
}

stamp_of() { cat "$@" tools/setup.sh | sha256sum | cut -d' ' -f1; }
fresh() { [ "$(cat "$venv/.$1" 2>/dev/null)" = "$2" ]; }

need_system 'command -v c++ && command -v make' build-essential
need_system 'ldconfig -p | grep -q libEGL.so.1 && ldconfig -p | grep -q libGL.so.1' libegl1 libgl1 libgl1-mesa-dri

if [ "$what" = test ]; then  # Open3D, the tests' oracle for renderings, needs it
  need_system 'ldconfig -p | grep -q libusb-1.0.so.0' libusb-1.0-0
fi

packages=$(stamp_of requirements/*.txt)
interfaces=$(find interfaces -type f -print0 | sort -z | xargs -0 cat tools/build_interfaces.sh | sha256sum | cut -d' ' -f1)
package=$(stamp_of setup.py setup.cfg pyproject.toml inspection_cell/*/*.c)
started=$SECONDS

if [ ! -x "$venv/bin/python" ]; then
  python=$(find_python)
  echo "making $venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi
if ! fresh "packages-$what" "$packages" && ! { [ "$what" = demo ] && fresh packages-test "$packages"; }; then
  echo "installing the packages of requirements/$what.txt (about 450 MB to download, 590 for the tests; minutes)"
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check "setuptools<80" wheel -r "requirements/$what.txt"
  echo "$packages" >"$venv/.packages-$what"
fi
if ! fresh interfaces "$interfaces"; then
  echo "building the ROS interfaces (a minute or two)"
  tools/build_interfaces.sh "$venv"
  echo "$interfaces" >"$venv/.interfaces"
fi
if ! fresh package "$package"; then
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
  echo "$package" >"$venv/.package"
fi
if [ $((SECONDS - started)) -gt 5 ]; then echo "set up in $((SECONDS - started)) s"; fi

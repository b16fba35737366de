# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by examples/run, tests/run and benchmarks/run: configures a build folder, and
# where that fails installs what is missing.
#
#   bootstrap examples|tests|benchmarks PRESET [cmake options]
#
# What CMake finds is used as it is, and CMake's cache remembers it. What is missing is
# installed with apt, or, for LibTorch where apt has none that is new enough, as the
# pinned wheel into build/venv. Afterwards
#   binary_dir   is the build folder,
#   jobs         says how many compilations fit this machine.

torch_minimum=2.6
torch_wheel=2.13.0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state_dir=$root/build/bootstrap
venv=$root/build/venv
apt_updated=""

# Name, least version, tool or package of CMake's, the e(xamples), b(enchmarks) and
# t(ests) that need it, Debian's package, and the words for people.
needs() {
  cat <<EOF
compiler       0               tool     ebt  g++                 a C++20 compiler (g++ 12 or newer)
cmake          3.25            tool     ebt  cmake               CMake 3.25 or newer
ninja          0               tool     ebt  ninja-build         Ninja or make
python         0               tool     t    python3             Python 3
fmt            0               package  ebt  libfmt-dev          fmt
CLI11          0               package  ebt  libcli11-dev        CLI11
nlohmann_json  0               package  ebt  nlohmann-json3-dev  nlohmann-json
benchmark      0               package  bt   libbenchmark-dev    Google Benchmark
Catch2         3               package  t    catch2              Catch2 3
Torch          $torch_minimum  package  ebt  libtorch-dev        LibTorch $torch_minimum or newer
EOF
}

say() { printf '== %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# logged NAME COMMAND...: runs it with its output in a file.
logged() { "${@:2}" >"$state_dir/$1.log" 2>&1; }

# The same, and shows the end of that where the command fails.
run_logged() {
  logged "$@" && return
  tail -n 25 "$state_dir/$1.log" >&2
  printf 'error: failed: %s (all of it: %s)\n' "${*:2}" "$state_dir/$1.log" >&2
  return 1
}

# at_least VERSION MINIMUM
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# ---- What is there ----

has_compiler() {
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
    command -v clang++ >/dev/null
}
has_cmake() {
  local version
  version=$(cmake --version 2>/dev/null | sed -n '1s/.*version //p')
  [ -n "$version" ] && at_least "$version" "$1"
}
has_ninja() { command -v ninja >/dev/null || command -v make >/dev/null; }
has_python() { command -v python3 >/dev/null; }
has_venv_module() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# cached NAME DIR: what the cache of that build folder holds under a name.
cached() { sed -n "s/^$1:[A-Z]*=//p" "$2/CMakeCache.txt" 2>/dev/null; }

# torch_below PREFIX...: LibTorch's CMake folder in the first that has one.
torch_below() {
  local dir
  for dir in "${@/%//share/cmake/Torch}"; do
    [ -f "$dir/TorchConfig.cmake" ] && printf '%s' "$dir" && return
  done
}
venv_torch() {
  [ ! -x "$venv/bin/python3" ] || torch_below "$venv"/lib/python3*/site-packages/torch
}
named_torch() {
  local prefixes
  IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  torch_below "${prefixes[@]}"
}

# CMake's own default is make, which need not be there.
prefer_ninja() {
  if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
  fi
}

# Sets `missing` to what is needed and not there: packages only where the tools are
# there to look for them.
find_missing() {
  local name least kind who list=""
  missing=()
  packages=()
  while read -r name least kind who _; do
    if [[ $who != *${what:0:1}* ]]; then
      continue
    elif [ "$kind" = package ]; then
      packages+=("$name")
      [ "$least" = 0 ] && list+="$name;" || list+="$name:$least;"
    elif ! "has_$name" "$least"; then
      missing+=("$name")
    fi
  done < <(needs)
  [ ${#missing[@]} -eq 0 ] || return 0

  prefer_ninja
  rm -f "$state_dir/found"
  logged probe cmake --fresh -S "$root/cmake/probe" -B "$state_dir/probe" \
    "-DPACKAGES=${list%;}" "-DOUTPUT=$state_dir/found" ${torch:+"-DTorch_DIR=$torch"}
  if ! is_found compiler; then
    missing=(compiler)
    return
  fi
  for name in "${packages[@]}"; do
    is_found "$name" || missing+=("$name")
  done
}

# What is there and ends CMake is found, too: to install another would not help.
is_found() {
  grep -q "^$1 " "$state_dir/found" 2>/dev/null ||
    [ -d "$(cached "$1_DIR" "$state_dir/probe")" ]
}

is_missing() { [[ " ${missing[*]} " == *" $1 "* ]]; }

# ---- Installing ----

# Sets `sudo` to what makes a command run as root; fails where nothing does.
become_root() {
  command -v apt-get >/dev/null || return 1
  sudo=()
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null || return 1
  sudo=(sudo)
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

apt_update() {
  [ -z "$apt_updated" ] || return 0
  say "apt-get update"
  run_logged apt-update "${sudo[@]}" apt-get update || return
  apt_updated=yes
}

apt_install() {
  say "apt-get install $*"
  run_logged apt-install "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get \
    -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

# has_candidate PACKAGE MINIMUM: whether apt would install one as new as that.
has_candidate() {
  local version
  version=$(apt-cache policy "$1" 2>/dev/null |
    sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}//p' | grep -v '(none)')
  [ -n "$version" ] && at_least "$version" "$2"
}

# From Debian's backports, with the mirror that the machine uses for its release.
install_catch2_backport() {
  local codename suite targets uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")
  [ -n "$codename" ] || return
  suite=$codename-backports
  # shellcheck disable=SC2016
  targets=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)')
  if ! grep -q "^$suite main " <<<"$targets"; then
    uri=$(sed -n "s/^$codename main //p" <<<"$targets" | head -n 1)
    [ -n "$uri" ] || return
    [ -f "$keyring" ] || keyring=""
    say "adding $suite to apt's sources (gatedpaths-backports.list)"
    printf 'deb %s%s %s main\n' "${keyring:+[signed-by=$keyring] }" "$uri" "$suite" |
      "${sudo[@]}" tee /etc/apt/sources.list.d/gatedpaths-backports.list >/dev/null
    apt_updated=""
    apt_update || return
  fi
  apt_install -t "$suite" catch2
}

# Makes build/venv, where it is not there or its Python is gone.
make_venv() {
  if [ -x "$venv/bin/pip" ] && "$venv/bin/python3" -m pip --version >/dev/null 2>&1; then
    return 0
  fi
  say "making a Python environment in build/venv"
  run_logged venv python3 -m venv --clear "$venv"
}

pip_install() {
  # shellcheck disable=SC2086
  "$venv/bin/python3" -m pip install --disable-pip-version-check \
    --timeout 20 --retries 2 ${GATEDPATHS_PIP_ARGS:-} "$@"
}

install_wheel() {
  make_venv || return
  say "installing the wheel torch==$torch_wheel into build/venv"
  run_logged pip-wheel pip_install --no-deps "torch==$torch_wheel" || return
  torch=$(venv_torch)
}

# pip_extra PACKAGE WITHOUT [WHAT]: into build/venv; where that fails, says what goes
# without.
pip_extra() {
  local log=pip-${1%%=*}
  say "installing ${3:-$1} into build/venv"
  logged "$log" pip_install "$1" ||
    say "that failed (${state_dir#"$root"/}/$log.log): $2"
}

# python_torch WITHOUT: what PyTorch in Python needs, where LibTorch is its wheel.
python_torch() {
  if [ -n "$(venv_torch)" ] && ! "$venv/bin/python3" -c 'import torch' 2>/dev/null; then
    pip_extra "torch==$torch_wheel" "$1" "what PyTorch in Python needs"
  fi
}

# What tests use if it is there: PyTorch in Python and safetensors, for the comparison
# with them, and the pinned formatter. Without them those tests are skipped, so no
# failure here.
install_test_extras() {
  local version package
  python_torch "no tests against PyTorch"
  # safetensors writes PyTorch's tensors by way of numpy, and does not ask for it.
  if [ -n "$(venv_torch)" ]; then
    for package in numpy safetensors; do
      "$venv/bin/python3" -c "import $package" 2>/dev/null ||
        pip_extra "$package" "no tests against Python's safetensors"
    done
  fi
  version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$root/tests/checks/check_format.py")
  if [ ! -x "$venv/bin/clang-format" ] && { [ -d "$venv" ] || [ -n "${CI:-}" ]; }; then
    if ! has_venv_module && become_root; then
      apt_update && apt_install python3-venv
    fi
    make_venv && pip_extra "clang-format==$version" "no check of the format"
  fi
}

# Ends with the names of what is missing, for people.
give_up() {
  local name apt text note=""
  local why="and cannot be installed from here (that takes apt, and root or sudo)"
  [ -z "$apt_updated" ] || why="although everything that apt has was installed"
  if is_missing cmake || is_missing compiler; then
    missing+=("${packages[@]}")
    note="The packages below those two could not be looked for without them."
  fi
  if is_missing compiler && has_compiler; then
    tail -n 25 "$state_dir/probe.log" >&2
  fi
  {
    echo "error: missing, $why:"
    while read -r name _ _ _ apt text; do
      ! is_missing "$name" || printf '  %-36s Debian: %s\n' "$text" "$apt"
    done < <(needs)
    [ -z "$note" ] || echo "$note"
    if is_missing Torch; then
      echo "LibTorch: any that CMake finds, such as PyTorch's wheel in a Python environment with"
      # shellcheck disable=SC2016
      echo '  CMAKE_PREFIX_PATH="$(python3 -c '"'import torch; print(torch.utils.cmake_prefix_path)')\""
    fi
  } >&2
  exit 1
}

install_missing() {
  local name least apt names=() wheel="" backport=""
  if ! become_root; then
    # Without apt there is still the wheel, which needs nothing but Python.
    { [ "${missing[*]}" = Torch ] && has_venv_module; } || give_up
    install_wheel || exit 1
    return
  fi
  apt_update || exit 1
  while read -r name least _ _ apt _; do
    if ! is_missing "$name"; then
      continue
    elif [ "$name" = Torch ] && ! has_candidate "$apt" "$least"; then
      wheel=yes
      has_venv_module || names+=(python3 python3-venv)
    elif [ "$name" = Catch2 ] && ! has_candidate "$apt" "$least"; then
      backport=yes
    else
      names+=("$apt")
    fi
  done < <(needs)
  [ ${#names[@]} -eq 0 ] || apt_install "${names[@]}" || exit 1
  [ -z "$backport" ] || install_catch2_backport || give_up
  [ -z "$wheel" ] || install_wheel || exit 1
}

# ---- The command ----

# Sets `torch` to the LibTorch folder to pass to CMake, if any, and `first` where the
# build folder is not configured, or for another checkout, or with a LibTorch that is
# gone or that is not the one that CMAKE_PREFIX_PATH names: most of the cache hangs on it.
choose_torch() {
  local named
  named=$(named_torch)
  torch=$(cached Torch_DIR "$binary_dir")
  first=yes
  if [ -f "$torch/TorchConfig.cmake" ] && [ "${named:-$torch}" -ef "$torch" ]; then
    if [ -f "$binary_dir/cmake_install.cmake" ] &&
      [ "$(cached CMAKE_HOME_DIRECTORY "$binary_dir")" -ef "$root" ]; then
      first=""
    fi
  elif [ -n "$named" ]; then
    torch=""
  else
    torch=$(venv_torch)
  fi
}

configure() {
  prefer_ninja
  if [ -n "$first" ] && [ -f "$binary_dir/CMakeCache.txt" ]; then
    set -- --fresh "$@"
  fi
  (cd "$root" && cmake --preset "$preset" ${torch:+"-DTorch_DIR=$torch"} "$@") \
    >"$configure_log" 2>&1
}

configure_failed() {
  tail -n 25 "$configure_log" >&2
  if [ -n "$(venv_torch)" ] && grep -q CUDA "$configure_log"; then
    echo "If the LibTorch in build/venv is a build for CUDA, remove build/venv and name an"
    echo "index with CPU wheels to pip: GATEDPATHS_PIP_ARGS='--extra-index-url ADDRESS'"
  fi >&2
  die "CMake failed (all that it said: $configure_log)"
}

bootstrap() {
  local what=$1 preset=$2 torch first before="" memory
  local configure_log=$state_dir/configure-$preset.log
  shift 2
  binary_dir=$root/build/$preset
  mkdir -p "$state_dir" || exit 1
  choose_torch
  if [ "$what" = tests ] && [ -n "$first" ]; then
    install_test_extras
  fi
  if ! configure "$@"; then
    # On a full disk all seems to be missing.
    if ! head -c 8000000 /dev/zero >"$state_dir/room"; then
      rm -f "$state_dir/room"
      configure_failed
    fi
    rm "$state_dir/room"
    say "looking for what is missing"
    find_missing
    [ ${#missing[@]} -gt 0 ] || configure_failed
    while [ ${#missing[@]} -gt 0 ]; do
      [ "${missing[*]}" != "$before" ] || give_up
      before=${missing[*]}
      say "missing: $before"
      install_missing
      find_missing
    done
    [ "$what" != tests ] || install_test_extras
    configure "$@" || configure_failed
  fi

  # LibTorch's headers take about 2 GB a compilation.
  jobs=$(nproc 2>/dev/null || echo 2)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2000000) }' /proc/meminfo 2>/dev/null)
  if [ -n "$memory" ] && [ "$memory" -lt "$jobs" ]; then
    jobs=$((memory > 0 ? memory : 1))
  fi
}

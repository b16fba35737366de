# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by examples/run and tests/run: makes sure of the dependencies.
#
#   bootstrap examples|tests|benchmarks
#
# What CMake's find_package finds is used as it is. What is missing is installed
# with apt, or, for LibTorch where apt has none that is new enough, as the pinned
# wheel into build/venv. Afterwards
#   cmake_options   holds what to pass to cmake,
#   jobs            says how many compilations fit this machine.

torch_minimum=2.6
torch_wheel=2.13.0
cmake_minimum=3.25

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state_dir=$root/build/bootstrap
venv=$root/build/venv
cmake_options=()
apt_updated=""

say() { printf '== %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# run_logged NAME COMMAND...: runs it with its output in a file, and shows the end
# of that where it fails.
run_logged() {
  local log=$state_dir/$1.log
  shift
  "$@" >"$log" 2>&1 && return
  tail -n 25 "$log" >&2
  printf 'error: failed: %s (all of it: %s)\n' "$*" "$log" >&2
  return 1
}

# at_least VERSION MINIMUM
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# ---- What is needed ----

# CMake's name and, after a colon, the least version.
packages_for() {
  case $1 in
    examples) echo "Torch:$torch_minimum fmt CLI11 nlohmann_json" ;;
    benchmarks) echo "Torch:$torch_minimum fmt CLI11 nlohmann_json benchmark" ;;
    tests) echo "Torch:$torch_minimum fmt CLI11 nlohmann_json benchmark Catch2:3" ;;
  esac
}

apt_name() {
  case $1 in
    compiler) echo g++ ;;
    cmake) echo cmake ;;
    ninja) echo ninja-build ;;
    python) echo python3 ;;
    venv) echo python3-venv ;;
    Torch) echo libtorch-dev ;;
    fmt) echo libfmt-dev ;;
    CLI11) echo libcli11-dev ;;
    nlohmann_json) echo nlohmann-json3-dev ;;
    benchmark) echo libbenchmark-dev ;;
    Catch2) echo catch2 ;;
  esac
}

# What the message for people says: what it is, and its usual package names.
describe() {
  local text fedora
  case $1 in
    compiler) text="a C++20 compiler (g++ 12 or newer)" fedora=gcc-c++ ;;
    cmake) text="CMake $cmake_minimum or newer" fedora=cmake ;;
    ninja) text="Ninja or make" fedora=ninja-build ;;
    python) text="Python 3" fedora=python3 ;;
    venv) text="Python 3 with venv" fedora=python3 ;;
    Torch) text="LibTorch $torch_minimum or newer" fedora="python3-torch-devel" ;;
    fmt) text="fmt" fedora=fmt-devel ;;
    CLI11) text="CLI11" fedora=cli11-devel ;;
    nlohmann_json) text="nlohmann-json" fedora=json-devel ;;
    benchmark) text="Google Benchmark" fedora=google-benchmark-devel ;;
    Catch2) text="Catch2 3" fedora=catch-devel ;;
  esac
  printf '  %-36s Debian: %-20s Fedora: %s\n' "$text" "$(apt_name "$1")" "$fedora"
}

# ---- What is there ----

# Sets `tools` to the programs that are missing.
check_tools() {
  local version
  tools=()
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null ||
    command -v clang++ >/dev/null || tools+=(compiler)
  version=$(cmake --version 2>/dev/null | sed -n '1s/.*version //p')
  { [ -n "$version" ] && at_least "$version" "$cmake_minimum"; } || tools+=(cmake)
  command -v ninja >/dev/null || command -v make >/dev/null || tools+=(ninja)
  [ "$1" != tests ] || command -v python3 >/dev/null || tools+=(python)
}

# probe PACKAGE...: appends to $found what find_package finds. Torch goes alone, as
# a broken LibTorch ends the whole configuration.
probe() {
  local list
  list=$(printf '%s;' "$@")
  rm -f "$state_dir/found"
  cmake --fresh -S "$root/cmake/probe" -B "$state_dir/probe" \
    "-DPACKAGES=${list%;}" "-DOUTPUT=$state_dir/found" "${cmake_options[@]}" \
    >"$state_dir/probe.log" 2>&1
  [ ! -f "$state_dir/found" ] || found+=$(cat "$state_dir/found")$'\n'
}

dir_of() { sed -n "s/^$1 //p" <<<"$found" | head -n 1; }

# LibTorch's CMake folder in build/venv, if it is there.
venv_torch() {
  local dir
  for dir in "$venv"/lib/python3*/site-packages/torch/share/cmake/Torch; do
    [ -d "$dir" ] && [ -x "$venv/bin/python3" ] && printf '%s' "$dir" && return
  done
}

# Sets `missing` to what find_package does not find of $1, and `found`.
check_packages() {
  local package others=()
  missing=()
  found=""
  cmake_options=()
  for package in $(packages_for "$1"); do
    [ "${package%%:*}" = Torch ] || others+=("$package")
  done
  probe "${others[@]}"
  [ -n "$(dir_of compiler)" ] || missing+=(compiler)
  probe "Torch:$torch_minimum"
  if [ -z "$(dir_of Torch)" ] && [ -n "$(venv_torch)" ]; then
    cmake_options=("-DTorch_DIR=$(venv_torch)")
    probe "Torch:$torch_minimum"
  fi
  for package in $(packages_for "$1"); do
    [ -n "$(dir_of "${package%%:*}")" ] || missing+=("${package%%:*}")
  done
  if [ -n "$(dir_of Torch)" ]; then
    cmake_options=("-DTorch_DIR=$(dir_of Torch)")
  fi
}

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

# candidate PACKAGE: the version that apt would install.
candidate() {
  apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}//p' |
    grep -v '(none)'
}

has_candidate() {
  local version
  version=$(candidate "$1")
  [ -n "$version" ] && at_least "$version" "$2"
}

# Lists Debian's backports, with the mirror that the machine uses for its release.
add_backports() {
  local suite=$1-backports keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local targets uri
  targets=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)')
  if grep -q "^$suite main " <<<"$targets"; then
    return 0
  fi
  uri=$(sed -n "s/^$1 main //p" <<<"$targets" | head -n 1)
  [ -n "$uri" ] || return 1
  [ -f "$keyring" ] || keyring=""
  say "adding $suite to apt's sources (gatedpaths-backports.list)"
  printf 'deb %s%s %s main\n' "${keyring:+[signed-by=$keyring] }" "$uri" "$suite" |
    "${sudo[@]}" tee /etc/apt/sources.list.d/gatedpaths-backports.list >/dev/null
  apt_updated=""
  apt_update
}

install_catch2_backport() {
  local codename
  codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME")
  [ -n "$codename" ] && add_backports "$codename" &&
    apt_install -t "$codename-backports" catch2
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

has_venv_module() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

install_wheel() {
  make_venv || return
  say "installing the wheel torch==$torch_wheel into build/venv"
  run_logged pip-torch pip_install --no-deps "torch==$torch_wheel"
}

# give_up MISSING...
give_up() {
  local name why="and cannot be installed from here (that takes apt, and root or sudo)"
  [ -z "$apt_updated" ] || why="although everything that apt has was installed"
  {
    echo "error: missing, $why:"
    for name in "$@"; do
      describe "$name"
    done
    case " $* " in
      *" cmake "* | *" compiler "*)
        echo "The packages below those two could not be looked for without them."
        ;;
    esac
    case " $* " in
      *" Torch "*)
        if [ -n "$(venv_torch)" ]; then
          echo "CMake cannot use the LibTorch in build/venv ($state_dir/probe.log says why). If it"
          echo "is a build for CUDA, remove build/venv and name an index with CPU wheels to pip,"
          echo "  GATEDPATHS_PIP_ARGS='--extra-index-url ADDRESS'"
        fi
        echo "LibTorch: any that CMake finds, such as PyTorch's wheel in a Python environment with"
        echo '  CMAKE_PREFIX_PATH="$(python3 -c '"'import torch; print(torch.utils.cmake_prefix_path)')\""
        ;;
    esac
  } >&2
  exit 1
}

# Names of the packages of $1 without their versions.
package_names() {
  local package
  for package in $(packages_for "$1"); do
    echo "${package%%:*}"
  done
}

install_tools() {
  local name names=()
  # shellcheck disable=SC2046
  become_root || give_up "${tools[@]}" $(package_names "$1")
  for name in "${tools[@]}"; do
    names+=("$(apt_name "$name")")
  done
  apt_update && apt_install "${names[@]}" || exit 1
  check_tools "$1"
  [ ${#tools[@]} -eq 0 ] || give_up "${tools[@]}"
}

install_packages() {
  local name names=() wheel="" catch2="" rest=()
  if ! become_root; then
    # Without apt there is still the wheel, which needs nothing but Python.
    for name in "${missing[@]}"; do
      [ "$name" = Torch ] && has_venv_module && wheel=yes || rest+=("$name")
    done
    [ ${#rest[@]} -eq 0 ] || give_up "${missing[@]}"
    install_wheel || exit 1
    return
  fi
  apt_update || exit 1
  for name in "${missing[@]}"; do
    case $name in
      Torch)
        if has_candidate libtorch-dev "$torch_minimum"; then
          names+=(libtorch-dev)
        else
          wheel=yes
          has_venv_module || names+=(python3 python3-venv)
        fi
        ;;
      Catch2)
        if has_candidate catch2 3; then
          names+=(catch2)
        else
          catch2=yes
        fi
        ;;
      *) names+=("$(apt_name "$name")") ;;
    esac
  done
  if [ ${#names[@]} -gt 0 ]; then
    apt_install "${names[@]}" || exit 1
  fi
  if [ -n "$catch2" ]; then
    install_catch2_backport || give_up Catch2
  fi
  if [ -n "$wheel" ]; then
    install_wheel || exit 1
  fi
}

# What tests use if it is there: PyTorch in Python, for the comparison with it, and
# the pinned formatter. Without them those tests are skipped, so no failure here.
install_test_extras() {
  local version
  if [ -n "$(venv_torch)" ] && ! "$venv/bin/python3" -c 'import torch' 2>/dev/null; then
    say "installing what PyTorch in Python needs into build/venv"
    pip_install "torch==$torch_wheel" >"$state_dir/pip-deps.log" 2>&1 ||
      say "that failed (${state_dir#"$root"/}/pip-deps.log): no tests against PyTorch"
  fi
  version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$root/tests/checks/check_format.py")
  if [ ! -x "$venv/bin/clang-format" ] && { [ -d "$venv" ] || [ -n "${CI:-}" ]; }; then
    if ! has_venv_module && become_root; then
      apt_update && apt_install python3-venv
    fi
    say "installing clang-format $version into build/venv"
    { make_venv && pip_install "clang-format==$version"; } \
      >"$state_dir/pip-format.log" 2>&1 ||
      say "that failed (${state_dir#"$root"/}/pip-format.log): no check of the format"
  fi
}

# ---- Remembering ----

# All that the last answer depends on, but for what it found.
state_key() {
  {
    cat "$root/cmake/bootstrap.sh" "$root/cmake/probe/CMakeLists.txt"
    command -v cmake c++ g++ clang++ ninja make python3
    echo "${CXX:-} ${CMAKE_PREFIX_PATH:-} ${Torch_DIR:-} ${CI:-}"
  } | cksum
}

# Takes the answer of an earlier run, if all that it names is still there.
recall() {
  local key name dir torch=""
  [ -f "$state_dir/$1.state" ] || return 1
  {
    read -r key
    [ "$key" = "$(state_key)" ] || return 1
    while read -r name dir; do
      [ -e "$dir" ] || return 1
      [ "$name" != Torch ] || torch=$dir
    done
  } <"$state_dir/$1.state"
  [ -n "$torch" ] || return 1
  cmake_options=("-DTorch_DIR=$torch")
}

# ---- The command ----

# CMake's own default is make, which need not be there.
prefer_ninja() {
  if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
  fi
}

bootstrap() {
  local memory
  mkdir -p "$state_dir"
  if ! recall "$1"; then
    say "looking for what is needed"
    check_tools "$1"
    [ ${#tools[@]} -eq 0 ] || install_tools "$1"
    prefer_ninja
    check_packages "$1"
    if [ ${#missing[@]} -gt 0 ]; then
      say "missing: ${missing[*]}"
      install_packages
      check_packages "$1"
      [ ${#missing[@]} -eq 0 ] || give_up "${missing[@]}"
    fi
    [ "$1" != tests ] || install_test_extras
    { state_key && grep . <<<"$found" | sort -u; } >"$state_dir/$1.state"
    say "LibTorch: $(dir_of Torch)"
  fi
  prefer_ninja

  # LibTorch's headers take about 2 GB a compilation.
  jobs=$(nproc 2>/dev/null || echo 2)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2000000) }' /proc/meminfo 2>/dev/null)
  if [ -n "$memory" ] && [ "$memory" -lt "$jobs" ]; then
    jobs=$((memory > 0 ? memory : 1))
  fi
}

# configure PRESET [cmake options]
configure() {
  local preset=$1
  shift
  (cd "$root" && run_logged "configure-$preset" \
    cmake --preset "$preset" "${cmake_options[@]}" "$@") || exit 1
}

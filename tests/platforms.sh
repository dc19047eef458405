#!/bin/bash
# Builds and tests reel in bare Debian systems, each made by debootstrap in a folder of its own, and prints a table of
# what went well. Needs Linux, root, debootstrap, the network, and for each system some 20 GB. Takes hours; not part of
# CI. What is done is not done again: each result is kept with the commit it is of.
#
#   tests/platforms.sh                                    all systems, what fits each
#   tests/platforms.sh --root trixie --set core           one of them, the core alone
#   tests/platforms.sh --root sid --set core --tests io_video
#   tests/platforms.sh --table                            nothing but the table
#
#   --roots DIR    where the systems are (build/platforms)
#   --root NAME    bookworm (Debian 12), trixie (13) or sid; may be given again
#   --set NAME     demo (README's first command, examples/demo.sh), suite (its second, tests/run.sh), readme (both), or
#                  core; may be given again
#   --tests REGEX  the tests of the set core
#   --mirror URL   where Debian's packages are
#   --jobs N       compilers at once in the set core (one per processor; "taskset -c 0" makes it one everywhere)
set -euo pipefail
cd "$(dirname "$0")/.."

roots=build/platforms
mirror=http://deb.debian.org/debian
names=()
sets=()
tests='^(core_.*|backend_(gemm|convolution|norm|elementwise|attention|onednn)|io_.*)$'
jobs=$(nproc)
only_table=
usage() {
    echo "tests/platforms.sh: $1; see the file's first lines" >&2
    exit 2
}
while [ $# -gt 0 ]; do
    if [ "$1" = --table ]; then
        only_table=yes
        shift
        continue
    fi
    [ $# -ge 2 ] || usage "$1: unknown, or without its value"
    case $1 in
    --roots) roots=$2 ;;
    --root) names+=("$2") ;;
    --set) sets+=("$2") ;;
    --tests) tests=$2 ;;
    --mirror) mirror=$2 ;;
    --jobs) jobs=$2 ;;
    *) usage "$1: unknown option" ;;
    esac
    shift 2
done
[ ${#names[@]} -gt 0 ] || names=(bookworm trixie sid)
for name in "${names[@]}"; do
    case $name in
    bookworm | trixie | sid) ;;
    *) usage "--root $name: expected bookworm, trixie or sid" ;;
    esac
done
for set in "${sets[@]}"; do
    case $set in
    demo | suite | readme | core) ;;
    *) usage "--set $set: expected demo, suite, readme or core" ;;
    esac
done
mkdir -p "$roots/results"
roots=$(cd "$roots" && pwd)

table() {
    echo "| system | compiler | libraries | what | commit | went well | tests passed | seconds | insert_object |"
    echo "|---|---|---|---|---|---|---|---|---|"
    local file
    for file in "$roots"/results/*.txt; do
        [ ! -e "$file" ] || (
            . "$file"
            echo "| $system | $compiler | $libraries | ${what//|/\\|} | $commit | $well | $tests | $seconds | $size |"
        )
    done
}
if [ -n "$only_table" ]; then
    table
    exit 0
fi

[ "$(id -u)" -eq 0 ] || usage "it makes systems to change into: run it as root"
for program in debootstrap unshare chroot; do
    command -v "$program" >/dev/null || usage "$program is not installed (Debian: debootstrap, util-linux, coreutils)"
done

# What is compiled: the committed files as they are now.
commit=$(git rev-parse --short HEAD)
[ -z "$(git status --porcelain --untracked-files=no)" ] || commit+="+"

# inside ROOT COMMAND...: runs a command in the system, in its copy of reel, with nothing of this system's environment.
inside() {
    local root=$roots/$1
    shift
    # What is mounted is seen by this command alone, and gone with it.
    unshare --mount bash -c '
        mount -t proc proc "$0/proc"
        mount --rbind /dev "$0/dev"
        cp /etc/resolv.conf "$0/etc/resolv.conf"
        exec chroot "$0" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
            bash -c "cd /reel && exec \"\$@\"" bash "$@"' "$root" "$@"
}

make_root() {
    local root=$roots/$1
    if [ ! -e "$root/made" ]; then
        rm -rf "$root"
        debootstrap --variant=minbase "$1" "$root" "$mirror" >"$roots/results/$1-debootstrap.log"
        printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no services
        # Of what changes daily a mirror may be some weeks behind; its signature is looked at all the same.
        [ "$1" != sid ] ||
            echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/late-mirror"
        chmod +x "$root/usr/sbin/policy-rc.d"
        mkdir "$root/reel"
        touch "$root/made"
    fi
    find "$root/reel" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
    git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$root/reel"
}

# The commands of a set, for the system's shell.
commands_of() {
    case $1 in
    demo) echo "examples/demo.sh" ;;
    suite) echo "tests/run.sh" ;;
    core) core_commands ;;
    esac
}

core_commands() {
    cat <<COMMANDS
set -euo pipefail
. .ci/packages.sh
install_packages "\${reel_packages[@]}" doctest-dev ninja-build -- "\${reel_faster[@]}" libthrust-dev libopenmpi-dev
cmake -S . -B build/core -G Ninja "-DREEL_PROGRAM_OPTIONS=-O1;-fexpensive-optimizations"
names=\$(ctest --test-dir build/core -N -R '$tests' | sed -n 's/^ *Test *#[0-9]*: //p')
[ -n "\$names" ] || { echo "no test is called $tests" >&2; exit 1; }
cmake --build build/core --parallel $jobs --target \$(printf 'test_%s ' \$names)
ctest --test-dir build/core --output-on-failure -R '$tests'
COMMANDS
}

# title_of SET: the set as the table names it.
title_of() {
    [ "$1" = core ] && echo "core $tests" || echo "$1"
}

# Runs a set and writes what came of it, as variables for table().
run_set() {
    local name=$1 what=$2 log=$roots/results/$1-$2.log begin status=0
    begin=$(date +%s)
    inside "$name" bash -c "$(commands_of "$what")" >"$log" 2>&1 || status=$?
    local summary ran=none libraries size=
    # "98% tests passed, 2 tests failed out of 107"
    summary=$(sed -n 's/.*tests passed, \([0-9]*\) tests* failed out of \([0-9]*\)$/\1 \2/p' "$log" | tail -n 1)
    [ -z "$summary" ] || ran="$((${summary#* } - ${summary% *})) of ${summary#* }"
    libraries=$(inside "$name" bash -c 'dpkg-query -W -f "\${source:Package} \${Version}, " libeigen3-dev libavformat-dev \
        libdnnl-dev 2>/dev/null || true')
    local program=$roots/$name/reel/build/demo/examples/insert_object
    if [ "$what" = demo ] && [ -e "$program" ]; then
        size="$(($(stat -c %s "$program") / 1000)) kB"
    fi
    {
        printf 'system=%q\n' "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' "$roots/$name/etc/os-release")"
        printf 'compiler=%q\n' "$(inside "$name" g++ --version 2>/dev/null | head -n 1)"
        printf 'libraries=%q\n' "${libraries%, }"
        printf 'what=%q\ncommit=%q\n' "$(title_of "$what")" "$commit"
        printf 'well=%q\n' "$([ "$status" -eq 0 ] && echo yes || echo "no: see $name-$what.log")"
        printf 'tests=%q\nsize=%q\n' "$ran" "$size"
        printf 'seconds=%q\nstatus=%q\n' $(($(date +%s) - begin)) "$status"
    } >"$roots/results/$name-$what.txt"
}

failed=0
for name in "${names[@]}"; do
    fits=(readme)
    [ "$name" != sid ] || fits=(core) # what changes daily is compiled, and not more
    [ ${#sets[@]} -eq 0 ] || fits=("${sets[@]}")
    for what in $(printf '%s\n' "${fits[@]}" | sed 's/^readme$/demo\nsuite/'); do
        file=$roots/results/$name-$what.txt
        known=$([ ! -e "$file" ] || (. "$file" && echo "$status $commit $what"))
        if [ "$known" = "0 $commit $(title_of "$what")" ]; then
            continue
        fi
        echo "$name: $what; what it says is in $roots/results/$name-$what.log" >&2
        make_root "$name"
        run_set "$name" "$what"
        (. "$file" && [ "$status" -eq 0 ]) || failed=1
    done
done
table
exit $failed

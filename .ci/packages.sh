# Sourced by examples/demo.sh and tests/run.sh.
# install_packages NAME...: installs what of these Debian packages is not there. Says what to do where it cannot.
install_packages() {
    local name missing=() root=()
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        echo "This is not Debian or Ubuntu. Going on with what is installed; the build needs what Debian calls:"
        echo "    $*"
        return 0
    fi
    for name in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
            missing+=("$name")
        fi
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "Not installed: ${missing[*]}" >&2
            echo "Run as root, or ask an administrator: apt-get install ${missing[*]}" >&2
            return 1
        fi
        root=(sudo)
    fi
    echo "Installing: ${missing[*]}"
    "${root[@]}" apt-get update -q
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# What reel and its programs are built with and from.
reel_packages=(g++ make cmake pkg-config libeigen3-dev nlohmann-json3-dev libyaml-cpp-dev zlib1g-dev libpng-dev
    libutf8proc-dev libavformat-dev libavcodec-dev libavfilter-dev libswscale-dev libavutil-dev libcli11-dev)

# build_jobs: compilers to run at once: one per processor, but at least 2 GB of memory for each.
build_jobs() {
    local processors by_memory
    processors=$(nproc)
    by_memory=$(awk '/^MemAvailable:/ { print int($2 / 2000000) }' /proc/meminfo)
    if [ "${by_memory:-$processors}" -lt "$processors" ]; then
        processors=$((by_memory > 0 ? by_memory : 1))
    fi
    echo "$processors"
}

# Sourced by examples/demo.sh and tests/run.sh.

# What packages are called: Debian, conda-forge, Homebrew, Fedora, Arch; and what shows that it is there: a command
# (@) or a file in an include folder. "-": it has none, or comes with the system.
packages_elsewhere='
    g++                  cxx-compiler   -             gcc-c++           gcc           @c++
    make                 make           make          make              make          @make
    cmake                cmake          cmake         cmake             cmake         @cmake
    pkg-config           pkg-config     pkgconf       pkgconf-pkg-config pkgconf      @pkg-config
    libeigen3-dev        eigen          eigen         eigen3-devel      eigen         eigen3/Eigen/Core
    nlohmann-json3-dev   nlohmann_json  nlohmann-json json-devel        nlohmann-json nlohmann/json.hpp
    libyaml-cpp-dev      yaml-cpp       yaml-cpp      yaml-cpp-devel    yaml-cpp      yaml-cpp/yaml.h
    zlib1g-dev           zlib           zlib          zlib-devel        zlib          zlib.h
    libpng-dev           libpng         libpng        libpng-devel      libpng        png.h
    libutf8proc-dev      libutf8proc    utf8proc      utf8proc-devel    libutf8proc   utf8proc.h
    libavformat-dev      ffmpeg         ffmpeg        ffmpeg-free-devel ffmpeg        libavformat/avformat.h
    libavcodec-dev       ffmpeg         ffmpeg        ffmpeg-free-devel ffmpeg        libavcodec/avcodec.h
    libavfilter-dev      ffmpeg         ffmpeg        ffmpeg-free-devel ffmpeg        libavfilter/avfilter.h
    libswscale-dev       ffmpeg         ffmpeg        ffmpeg-free-devel ffmpeg        libswscale/swscale.h
    libavutil-dev        ffmpeg         ffmpeg        ffmpeg-free-devel ffmpeg        libavutil/avutil.h
    libcli11-dev         cli11          cli11         cli11-devel       cli11         CLI/CLI.hpp
    libdnnl-dev          onednn-cpu-omp onednn        onednn-devel      onednn        oneapi/dnnl/dnnl.hpp
    libthrust-dev        -              -             -                 -             thrust/version.h
    libopenmpi-dev       openmpi        open-mpi      openmpi-devel     openmpi       @mpicxx
    doctest-dev          doctest        doctest       doctest-devel     doctest       doctest/doctest.h
    doxygen              doxygen        doxygen       doxygen           doxygen       @doxygen
    ninja-build          ninja          ninja         ninja-build       ninja         @ninja
'

# package_column COLUMN NAME...: what these Debian packages are called elsewhere, each once.
package_column() {
    local column=$1
    shift
    awk -v column="$column" -v wanted=" $* " 'index(wanted, " " $1 " ") && $column != "-" && !seen[$column]++ {
        printf "%s%s", separator, $column; separator = " " }' <<<"$packages_elsewhere"
}

# missing_files NAME...: which of these packages' commands or headers are not found.
missing_files() {
    local name probe folder found
    for name in "$@"; do
        probe=$(package_column 6 "$name")
        found=
        if [ "${probe#@}" != "$probe" ]; then
            command -v "${probe#@}" >/dev/null && found=yes
        else
            for folder in ${CONDA_PREFIX:+"$CONDA_PREFIX/include"} /usr/include /usr/include/ffmpeg /usr/local/include \
                /opt/homebrew/include; do
                [ ! -e "$folder/$probe" ] || found=yes
            done
        fi
        [ -n "$found" ] || echo "$name"
    done
}

# say_elsewhere NAME...: one line: how the package managers that are here (none: all known ones) install these.
say_elsewhere() {
    local here=() command line=
    for command in conda brew dnf pacman; do
        ! command -v "$command" >/dev/null || here+=("$command")
    done
    [ ${#here[@]} -gt 0 ] || here=(conda brew dnf pacman)
    for command in "${here[@]}"; do
        line+="${line:+, or }"
        case $command in
        conda) line+="conda install -c conda-forge $(package_column 2 "$@")" ;;
        brew) line+="brew install $(package_column 3 "$@")" ;;
        dnf) line+="dnf install $(package_column 4 "$@")" ;;
        pacman) line+="pacman -S $(package_column 5 "$@")" ;;
        esac
    done
    echo "$line"
}

# not_installed NAME...: which of these Debian packages are not.
not_installed() {
    local name
    for name in "$@"; do
        if [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" != installed ]; then
            echo "$name"
        fi
    done
}

# install_packages NAME... [-- NAME...]: installs what of these Debian packages is not there; of those behind "--", which
# reel is better with and does without, what the system offers. Says what to do where it cannot.
install_packages() {
    local name missing wanted=() better=() root=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        wanted+=("$1")
        shift
    done
    [ $# -eq 0 ] || better=("${@:2}")
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        missing=($(missing_files "${wanted[@]}" "${better[@]}"))
        if [ ${#missing[@]} -gt 0 ]; then
            echo "Not found (Debian's names): ${missing[*]}. To install them: $(say_elsewhere "${missing[@]}")"
        fi
        return 0
    fi
    missing=($(not_installed "${wanted[@]}" "${better[@]}"))
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            missing=($(not_installed "${wanted[@]}"))
            if [ ${#missing[@]} -eq 0 ]; then
                return 0
            fi
            echo "Not installed: ${missing[*]}. As root: apt-get install ${missing[*]}; without:" \
                "$(say_elsewhere "${missing[@]}")" >&2
            return 1
        fi
        root=(sudo)
    fi
    missing=($(not_installed "${wanted[@]}"))
    if ! "${root[@]}" apt-get update -q; then
        [ ${#missing[@]} -eq 0 ] # else there is no going on
        return
    fi
    while read -r name; do
        if [ -n "$(apt-cache show --quiet "$name" 2>/dev/null)" ]; then
            missing+=("$name")
        else
            echo "This system does not offer $name; going on without."
        fi
    done < <(not_installed "${better[@]}")
    if [ ${#missing[@]} -gt 0 ]; then
        echo "Installing: ${missing[*]}"
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    fi
}

# What reel and its programs are built with and from.
reel_packages=(g++ make cmake pkg-config libeigen3-dev nlohmann-json3-dev libyaml-cpp-dev zlib1g-dev libpng-dev
    libutf8proc-dev libavformat-dev libavcodec-dev libavfilter-dev libswscale-dev libavutil-dev libcli11-dev)
# With these large products are faster.
reel_faster=(libdnnl-dev)

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

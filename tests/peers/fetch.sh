#!/bin/bash
# Fetches what peers' own suites hold, as tests of ours: into tests/peers/data (or $REEL_PEERS_DATA), which git ignores.
#
#   tests/peers/fetch.sh [SUITE...]      # diffusers JSONTestSuite yaml-test-suite ftfy safetensors fickling CLIP
#
# Each is one commit of a public repository, and of that the folders named here, whose SHA-256 is held; another content is
# an error. What a test here cannot read as it is, extract.py turns into what it can, with Python packages of fixed
# versions in an environment of its own. A suite that is there is left alone. Nothing that is fetched is built or installed.
set -euo pipefail
cd "$(dirname "$0")"
data=${REEL_PEERS_DATA:-data}
mkdir -p "$data"
data=$(realpath "$data")
work=
trap 'rm -rf "$work"' EXIT

# suite NAME REPOSITORY COMMIT SHA256 PATH...
suite() {
    local name=$1 repository=$2 commit=$3 expected=$4 found
    shift 4
    [ ! -d "$data/$name" ] || { echo "$name: is there"; return; }
    work=$(mktemp -d "$data/.fetch-XXXXXX")
    git -C "$work" init -q
    git -C "$work" config gc.auto 0
    git -C "$work" remote add origin "https://github.com/$repository"
    git -C "$work" fetch -q --depth 1 --filter=blob:none origin "$commit"
    git -C "$work" -c advice.detachedHead=false checkout -q FETCH_HEAD -- "$@"
    rm -rf "$work/.git"
    found=$(cd "$work" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
    if [ "$found" != "$expected" ]; then
        echo "$name: $repository at $commit has SHA-256 $found, expected $expected" >&2
        return 1
    fi
    case $name in
    diffusers) python3 check_scheduler_table.py "$work" ;;
    yaml-test-suite | fickling | CLIP) "$(python_with)" extract.py "$name" "$work" ;;
    safetensors) python3 extract.py "$name" "$work" ;;
    esac
    chmod 755 "$work"
    mv -T "$work" "$data/$name"
    echo "$name: fetched"
}

# The Python that extract.py runs in.
python_with() {
    [ -x "$data/.venv/bin/python" ] || python3 -m venv "$data/.venv" >&2
    "$data/.venv/bin/pip" install -q --disable-pip-version-check omegaconf==2.4.0.dev4 PyYAML==6.0.4 \
        typing-extensions==4.16.0 ftfy==6.3.1 regex==2026.11.19 >&2
    echo "$data/.venv/bin/python"
}

fetch() {
    case $1 in
    diffusers)
        suite "$1" huggingface/diffusers 58eb52c0803ea9af3abec60841c2a093bdf1f951 \
            cfa22c8403fbe69a41d8df800f80fcd1504d3164ad9bc0ee091797a2286fe6fd \
            tests/schedulers ;;
    JSONTestSuite)
        suite "$1" nst/JSONTestSuite 1ef36fa01286573e846ac449e8683f8833c5b26a \
            476eaa7a15677f31a7b1bb721eba2d855e58832bf7672e8e0cfd53a593a4a3e5 \
            test_parsing ;;
    yaml-test-suite)
        suite "$1" yaml/yaml-test-suite ccfa74e56afb53da960847ff6e6976c0a0825709 \
            a4cc802b4dbdd0150456ac5ab2c61b79382648b75bc749aaee9ae1421715663b \
            src ;;
    ftfy)
        suite "$1" rspeer/python-ftfy 74dd0452b48286a3770013b3a02755313bd5575e \
            17d39ce14d64857bfc1a237269b4e47771cb5284d23233c76ed22e82b9055a52 \
            tests/test-cases ;;
    safetensors)
        suite "$1" huggingface/safetensors 24b0b2857fef49be734b9ab72ce97c09bb25f5b9 \
            63fbc5253e177069df607bc37eee3a5de40705ca67c8b1e294b31c58bda539ac \
            safetensors/src ;;
    fickling)
        suite "$1" trailofbits/fickling 854c99acd2637f97162dd2e1aa2dab4e8d55d77d \
            9599a7385d5db5b3e66bb39e07eff63c1db35709ee979467f4735436037b3db0 \
            fickling test/__init__.py test/test_bypasses.py test/test_crashes.py test/test_expansion_attack_analysis.py ;;
    CLIP)
        suite "$1" openai/CLIP d05afc436d78f1c48dc0dbf8e5980a9d471f35f6 \
            107bd7bf86ba134de75782bf4c7da9bd6ece2bf21b4ea6db2411a5f443ad66f1 \
            clip/simple_tokenizer.py clip/bpe_simple_vocab_16e6.txt.gz data ;;
    *)
        echo "no suite $1" >&2
        return 2 ;;
    esac
}

[ $# -gt 0 ] || set -- diffusers JSONTestSuite yaml-test-suite ftfy safetensors fickling CLIP
for name in "$@"; do
    fetch "$name"
done

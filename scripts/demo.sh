#!/usr/bin/env bash
# Renders example scenes into out/demo, each with the prompt that the scene carries.
#
#   scripts/demo.sh [SCENE…|all]     without a name: valley_dolly, which takes under 5 minutes on two cores
set -euo pipefail
cd "$(dirname "$0")/.."

names=("${@:-valley_dolly}")
if [ "${names[*]}" = all ]; then
    names=()
    for scene in examples/*.blend; do
        names+=("$(basename "$scene" .blend)")
    done
fi
for name in "${names[@]}"; do
    echo "demo: examples/$name.blend"
    .venv/bin/farplane render "examples/$name.blend" --out "out/demo/$name" --overwrite
done
echo "demo: look at out/demo/${names[0]}/contact.png and preview.mp4, or open the landed scene in Blender"

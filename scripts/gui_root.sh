#!/usr/bin/env bash
# Debian folders with the real GUI Blender and a virtual display, for `make test-gui` and the pictures in docs/.
# Under 2 GB each, outside the repository, made once: "trixie" has Blender 4.3; "sid" moves on and is pinned to
# nothing, at this writing it has 5.2 LTS.
#
#   scripts/gui_root.sh [SUITE]         make it if it is not there, mount what it needs, print its path (trixie)
#   scripts/gui_root.sh --down SUITE    unmount (do this before you delete the folder: /dev is bind-mounted in it)
#
#   FARPLANE_GUI_ROOTS=DIR        where the folders are (default /var/tmp/farplane-gui)
#   FARPLANE_DEBIAN=URL           the Debian mirror (default: the one that apt uses here)
set -euo pipefail

DOWN=
if [ "${1:-}" = --down ]; then DOWN=1; shift; fi
SUITE=${1:-trixie}
ROOT=${FARPLANE_GUI_ROOTS:-/var/tmp/farplane-gui}/$SUITE
# sid's Blender recommends cattrs and requests, and its extensions do not register without them
PACKAGES=(blender python3-numpy python3-cattr python3-requests xvfb xauth libgl1-mesa-dri libegl-mesa0 x11-apps
    imagemagick)
READY=(usr/bin/blender usr/bin/xvfb-run usr/bin/xwd usr/lib/python3/dist-packages/{numpy,cattr,requests})

fail() { echo "gui_root: $*" >&2; exit 1; }
mounted() { mountpoint -q "$ROOT/$1"; }

[[ $SUITE =~ ^[a-z]+$ ]] || fail "$SUITE is no Debian suite: take trixie or sid"
[ "$(id -u)" = 0 ] || fail "this needs root (debootstrap, mount, chroot)"

down() {
    for point in dev sys proc; do
        if mounted "$point"; then umount "$ROOT/$point"; fi
    done
}

up() {
    mounted proc || mount -t proc proc "$ROOT/proc"
    mounted sys || mount --bind /sys "$ROOT/sys"
    mounted dev || mount --bind /dev "$ROOT/dev"
    # as on any installed system; without it Blender complains on standard output, where a command's JSON goes
    [ -e "$ROOT/etc/mtab" ] || ln -sfn /proc/self/mounts "$ROOT/etc/mtab"
}

ready() {
    local path
    for path in "${READY[@]}"; do [ -e "$ROOT/$path" ] || return 1; done
}

make() {
    # apt's lists may be empty on a fresh machine; Ubuntu has Debian's keys in a package of their own
    command -v debootstrap >/dev/null || { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends debootstrap debian-archive-keyring; } ||
        fail "debootstrap is not here and apt cannot install it"
    local mirror
    mirror=${FARPLANE_DEBIAN:-$(grep -rhoE '(URIs: |^deb )\S*https?://\S*debian/?( |$)' /etc/apt/sources.list \
        /etc/apt/sources.list.d 2>/dev/null | grep -oE 'https?://\S+' | head -1 || true)}
    mirror=${mirror:-http://deb.debian.org/debian}
    if [ ! -e "$ROOT/etc/debian_version" ] || [ -d "$ROOT/debootstrap" ]; then # debootstrap's own folder: half done
        down
        rm -rf --one-file-system "$ROOT"
        mkdir -p "$ROOT"
        debootstrap --variant=minbase "$SUITE" "$ROOT" "$mirror" ||
            fail "debootstrap could not make $SUITE from $mirror; is it reachable? FARPLANE_DEBIAN names another mirror"
    fi
    cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
    up
    # a mirror may lag behind sid's "valid until"; the signature is checked all the same
    { chroot "$ROOT" apt-get -o Acquire::Check-Valid-Until=false update &&
        chroot "$ROOT" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${PACKAGES[@]}"; } ||
        fail "$SUITE has no installable Blender today (see apt above); remove $ROOT after '$0 --down $SUITE' to begin anew"
    ready || fail "$SUITE's packages lie elsewhere than expected: one of ${READY[*]} is not in $ROOT"
}

if [ -n "$DOWN" ]; then down; exit 0; fi
ready || make >&2
up
echo "$ROOT"

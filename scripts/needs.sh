# Sourced by scripts/run and scripts/test: what this machine must have, and how it gets it.
# shellcheck shell=bash

# The programs that cargo and the static guest binaries need, and the Debian packages that bring them.
needed_packages() {
    command -v cc >/dev/null 2>&1 || echo gcc
    # libc.a, for the guest's static programs.
    compgen -G '/usr/lib/*/libc.a' >/dev/null || echo libc6-dev
    # The private package root of `netdma-vm setup` verifies what it fetches.
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

have_cargo() {
    command -v cargo >/dev/null 2>&1 && return 0
    [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH" && return 0
    echo "error: no cargo: install Rust 1.85 or newer (Debian 13: apt-get install cargo; Debian 12: rustup)" >&2
    return 1
}

# Installs what is missing, after saying so; with $1 = no-install it only says so, and fails.
get_needs() {
    have_cargo || return 1
    local missing
    missing=$(needed_packages | sort -u | tr '\n' ' ')
    if [ -z "$missing" ]; then
        echo "system packages: nothing to install"
    elif [ "${1:-}" = no-install ]; then
        echo "error: missing here: $missing(--no-install: nothing was installed; install them and run again)" >&2
        return 1
    elif ! command -v apt-get >/dev/null 2>&1; then
        echo "error: this is no Debian; install a C compiler with a static libc (Debian calls them: $missing), and QEMU >= 10.1 with vfio-user-pci" >&2
        return 1
    else
        echo "system packages: installing $missing"
        as_root apt-get update -q >/dev/null && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy $missing >/dev/null || {
            echo "error: apt-get could not install $missing" >&2
            return 1
        }
    fi
    # `netdma-vm setup` asks apt where its mirror is; a new machine has no package lists yet.
    if [ "${1:-}" != no-install ] && command -v apt-get >/dev/null 2>&1 &&
        [ -z "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null)" ]; then
        as_root apt-get update -q >/dev/null
    fi
}

target_dir() { echo "${CARGO_TARGET_DIR:-$PWD/target}"; }

GUEST_TARGET=x86_64-unknown-linux-gnu

# The programs of the host, and those of the guest: static, and so with an explicit --target.
build_all() {
    cargo build --locked -q -p vfio-user-ioat -p netdma -p netdma-vm -p netdma-lab --bins &&
        RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
            cargo build --locked -q --target "$GUEST_TARGET" -p netdma -p netdma-vm --bin netdma --bin netdma-vm-init
}

#!/bin/bash
# Installs what a fresh Debian or Ubuntu machine lacks beside the Swift toolchain. Does nothing, and needs no network, when
# everything is there.
set -euo pipefail

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v swift >/dev/null || fail "there is no swift in PATH: install Swift 6.3 from https://www.swift.org/install/linux"
version=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p')
[ "$version" = 6.3 ] || fail "Swift 6.3 is needed, and this is ${version:-of unknown version}: https://www.swift.org/install/linux"

# What is missing, as packages. Each line: how to see that it is there, and what brings it.
packages=()
[ -e /usr/include/sys/epoll.h ] || [ -e "/usr/include/$(uname -m)-linux-gnu/sys/epoll.h" ] || packages+=(libc6-dev)
compgen -G '/usr/lib/gcc/*/*/libstdc++.so' >/dev/null || packages+=(libstdc++-dev)
command -v ld >/dev/null || packages+=(binutils)
command -v git >/dev/null || packages+=(git ca-certificates)
command -v nc >/dev/null || packages+=(netcat-openbsd)
# For the tests under valgrind, and for the benchmarks and their gate.
command -v valgrind >/dev/null || packages+=(valgrind)
command -v python3 >/dev/null || packages+=(python3)
command -v strace >/dev/null || packages+=(strace)
# What others wrote, for the integration tests; each is skipped, with a message, where its program is missing.
command -v curl >/dev/null || packages+=(curl)
command -v socat >/dev/null || packages+=(socat)
command -v wrk >/dev/null || packages+=(wrk)
command -v redis-server >/dev/null || packages+=(redis-server redis-tools)
[ -x /usr/sbin/nginx ] || packages+=(nginx-light)
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || packages+=(libnginx-mod-stream)
# For the example curl-multi.
[ -e /usr/include/curl/curl.h ] || [ -e "/usr/include/$(uname -m)-linux-gnu/curl/curl.h" ] || packages+=(libcurl4-openssl-dev)

if [ ${#packages[@]} -eq 0 ]; then
    echo "setup: everything is there"
    exit 0
fi

command -v apt-get >/dev/null || fail "no apt-get here: install what corresponds to ${packages[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "root, or sudo, is needed to install: ${packages[*]}"
    as_root=(sudo)
fi

echo "setup: installing ${packages[*]}"
"${as_root[@]}" apt-get update -qq
# libstdc++'s headers have their version in the package's name; the newest is the compiler's default.
for index in "${!packages[@]}"; do
    if [ "${packages[$index]}" = libstdc++-dev ]; then
        packages[index]=$(apt-cache search --names-only '^libstdc\+\+-[0-9]+-dev$' | cut -d' ' -f1 | sort -V | tail -1)
    fi
done
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${packages[@]}"
echo "setup: done"

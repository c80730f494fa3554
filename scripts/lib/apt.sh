# shellcheck shell=bash
# Installing packages with apt, without letting a package start its service.

readonly POLICY=/usr/sbin/policy-rc.d
readonly POLICY_KEPT=$POLICY.before-portreeve-setup
readonly POLICY_MARK='# held by scripts/setup of portreeve'
APT_UPDATED=

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi
}

may_install() {
    if ! command -v apt-get >/dev/null; then
        complain "there is no apt-get here; install the packages above by your system's own means"
        return 1
    fi
    if ((EUID != 0)) && ! command -v sudo >/dev/null; then
        complain "installing packages needs root; run it as root, or install sudo"
        return 1
    fi
}

# The lock is on a directory that everybody can open, so it needs no file of its own.
one_at_a_time() {
    exec 9<"${POLICY%/*}"
    flock 9
}

# NEEDRESTART_SUSPEND: Ubuntu would otherwise restart running services, Docker among them.
apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@"
}

# At most once in a run. Old lists may do when a mirror is away, so a failure is only told.
apt_update() {
    [[ -z $APT_UPDATED ]] || return 0
    say "refreshing the package lists"
    apt_get update || complain "apt-get update failed; going on with the lists that are there"
    APT_UPDATED=1
}

apt_candidate() {
    apt-cache policy "$1" | sed -n 's/^  Candidate: //p' | grep -v '^(none)$'
}

# Packages that split only in newer releases (docker-cli) are passed over where unknown.
apt_install_known() {
    may_install || return 1
    apt_update
    local package known=()
    for package; do
        if apt_candidate "$package" >/dev/null; then known+=("$package"); fi
    done
    apt_install "${known[@]}"
}

# Package names, or files with a slash in their path.
apt_install() {
    (($#)) || return 0
    say "installing $*"
    hold_services || return 1
    local outcome=0
    apt_get install --yes --no-install-recommends --no-remove "$@" || outcome=$?
    release_services
    ((outcome == 0)) || complain "apt-get could not install $*; its own words are above"
    return "$outcome"
}

# A policy-rc.d that exits 101 forbids every start; one that is there already is put back.
hold_services() {
    release_services # a run that was killed may have left its own
    trap release_services EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    if [[ -e $POLICY || -L $POLICY ]]; then as_root mv -T "$POLICY" "$POLICY_KEPT"; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" | as_root install -m 755 /dev/stdin "$POLICY"
}

release_services() {
    if grep -qsF "$POLICY_MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
    if [[ -e $POLICY_KEPT || -L $POLICY_KEPT ]]; then as_root mv -T "$POLICY_KEPT" "$POLICY"; fi
}

# shellcheck shell=bash
# Installs a cargo that is new enough for this crate.

readonly RUSTUP_INSTALLER=https://sh.rustup.rs

rust_wanted() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

# The version of cargo; empty if no cargo works.
rust_found() { (cd "$ROOT" && cargo --version 2>/dev/null) | cut -d' ' -f2; }

rust_is_fit() {
    local found
    found=$(rust_found) || return
    printf '%s\n' "$(rust_wanted)" "${found%%-*}" | sort --check=quiet --version-sort
}

install_rust() {
    local found
    found=$(rust_found) || found=missing
    say "rust: cargo is $found, this crate needs $(rust_wanted) or newer"
    if command -v rustup >/dev/null; then update_toolchain || return; else fetch_rustup || return; fi
    rust_is_fit || complain "rust: cargo is still not new enough; look at 'type -a cargo' and 'rustup show'"
}

# Changes the toolchain of this checkout only; the user's default stays.
update_toolchain() {
    say "rust: installing the stable toolchain with rustup, for this checkout only"
    rustup toolchain install stable --profile minimal -c clippy -c rustfmt &&
        rustup override set stable --path "$ROOT" && return
    complain "rust: rustup could not; try 'rustup toolchain install stable' by hand, then run this again"
    return 1
}

fetch_rustup() {
    say "rust: installing rustup and the stable toolchain into ${CARGO_HOME:-$HOME/.cargo}"
    curl -fsS --proto '=https' --tlsv1.2 --connect-timeout 10 -o "$WORK/rustup-init.sh" "$RUSTUP_INSTALLER" &&
        sh "$WORK/rustup-init.sh" -y -q --no-modify-path --profile minimal -c clippy -c rustfmt \
            --default-toolchain stable && return
    complain "rust: $RUSTUP_INSTALLER could not be reached, or failed. Install Rust $(rust_wanted) or newer"
    complain "rust: by hand, so that cargo is in PATH, then run this again"
    return 1
}

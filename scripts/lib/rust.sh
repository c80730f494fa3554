# shellcheck shell=bash
# A cargo that is new enough for this crate.

readonly RUSTUP_INSTALLER=https://sh.rustup.rs

rust_wanted() {
    local version
    version=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    echo "${version:?Cargo.toml names no rust-version}"
}

# Prints nothing where there is no working cargo.
rust_found() {
    (cd "$ROOT" && cargo --version 2>/dev/null) | cut -d' ' -f2
}

rust_is_fit() {
    local found
    found=$(rust_found) || return 1
    [[ $found ]] && printf '%s\n' "$(rust_wanted)" "${found%%-*}" | sort -CV
}

install_rust() {
    local found
    found=$(rust_found) || true
    say "rust: cargo is ${found:-missing}, this crate needs $(rust_wanted) or newer"
    if command -v rustup >/dev/null; then update_toolchain; else fetch_rustup; fi || return 1
    hash -r
    rust_is_fit || complain "rust: cargo is still '$(rust_found)'; look at 'rustup show' and at PATH"
}

# Only this checkout moves to the newer toolchain; the user's default stays as it is.
update_toolchain() {
    say "rust: installing the stable toolchain with rustup, for this checkout only"
    rustup toolchain install stable --profile minimal -c clippy -c rustfmt &&
        rustup override set stable --path "$ROOT" && return
    complain "rust: rustup could not install it; run 'rustup toolchain install stable' where the network is"
    return 1
}

fetch_rustup() {
    local installer
    installer=$(mktemp)
    say "rust: installing rustup and the stable toolchain into ${CARGO_HOME:-$HOME/.cargo}"
    if curl -fsS --proto '=https' --tlsv1.2 --connect-timeout 10 -o "$installer" "$RUSTUP_INSTALLER" &&
        sh "$installer" -y --no-modify-path --profile minimal -c clippy -c rustfmt \
            --default-toolchain stable; then
        rm -f "$installer"
        return
    fi
    rm -f "$installer"
    complain "rust: $RUSTUP_INSTALLER cannot be reached or failed; install Rust $(rust_wanted) or newer"
    complain "rust: by hand (https://rustup.rs) so that cargo is in PATH, then run this again"
    return 1
}

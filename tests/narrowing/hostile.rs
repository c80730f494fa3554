//! Hostile values in every field: none blocks other entries, and none reaches nginx as syntax.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Harness, naive, shipped};

/// For how long values are generated for one template.
const BUDGET: Duration = Duration::from_secs(20);

const TEXTS: &[&str] = &[
    "",
    " ",
    ".",
    "-",
    "_",
    "*",
    "#",
    "}",
    "{",
    ";",
    "\"",
    "'",
    "\\",
    "$host",
    "x; } evil on; server {",
    "a b",
    "a\nevil on;",
    "größe",
    "a/b",
    "a..b",
    "~^(",
    "web",
    "STEADY",
    "steady",
    "consul",
    "unix:/evil",
    "default",
    "\u{7f}",
    "\u{feff}x",
    "{{x}}",
    "../../evil",
    "shop.example.com",
    "*.example.com",
    "SHOP.example.com",
    "www.*",
    "x.example.com;",
    "0",
    "none",
];
const ADDRESSES: &[&str] = &[
    "999.1.1.1",
    "256.0.0.1",
    "10.0.0.1",
    "::1",
    "[::1]",
    "[::zz]",
    "fe80::1%eth0",
    "010.1.1.1",
    "1",
    "10.1",
    "0.0.0.0",
    "nope.invalid",
    "localhost",
    "10.0.0.1:80",
    "10.0.0.1 backup",
    "10.0.0.1;",
    "",
];

/// A deterministic random number generator (SplitMix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn text(&mut self) -> String {
        match self.throw(8) {
            0 => "x".repeat(1 + self.throw(300)),
            1 => format!("{}.example.com", "y".repeat(self.throw(80))),
            _ => TEXTS[self.throw(TEXTS.len())].to_owned(),
        }
    }

    /// A valid value, or any text.
    fn or_text(&mut self, good: &str) -> String {
        if self.throw(3) == 0 { self.text() } else { good.to_owned() }
    }

    fn address(&mut self) -> String {
        if self.throw(4) == 0 { self.text() } else { ADDRESSES[self.throw(ADDRESSES.len())].to_owned() }
    }

    fn number(&mut self) -> i64 {
        [0, 1, 80, 65_535, 65_536, 70_000, -1, i64::from(u32::MAX), i64::MAX][self.throw(9)]
    }

    fn service(&mut self) -> Value {
        json!({
            "Port": self.number(),
            "Tags": [self.text(), self.text()],
            "Meta": { "host": self.text(), "path": self.text(), "weight": self.text() },
            "Weights": { "Passing": self.number(), "Warning": self.number() },
        })
    }
}

async fn survives(harness: Harness, seed: u64, keys: &[&str]) {
    let (mut dice, daemon, begun) = (Dice(seed), harness.daemon(), Instant::now());
    let (mut round, mut taken) = (0_u16, 0);
    while begun.elapsed() < BUDGET && round < 200 {
        for entry in 0..4 {
            let good = format!("svc-{}", dice.throw(20));
            let (node, id, name) =
                (dice.or_text("n2"), dice.or_text(&format!("i-{round}-{entry}")), dice.or_text(&good));
            // The entries that must not be affected.
            if node == "n1" || name == "steady" {
                continue;
            }
            let (address, service) = (dice.address(), dice.service());
            taken += usize::from(harness.register(&node, &id, &name, &address, service).await);
        }
        for key in keys {
            harness.put(&format!("kv/{key}"), &Value::from(dice.text())).await;
        }
        harness.assert_updates(&daemon, 20_000 + round).await;
        is_made_of_values(&harness.file());
        harness.assert_nginx_is_valid();
        round += 1;
    }
    assert!(round > 1 && taken > 4, "{round} rounds, {taken} entries");
}

/// Asserts that the file has only lines that the template writes.
fn is_made_of_values(file: &str) {
    let lines = [
        "",
        "}",
        "    }",
        "server {",
        "        return 503;",
        "    location / {",
        "        proxy_connect_timeout 1s;",
        "        proxy_next_upstream error timeout;",
        "        proxy_next_upstream_tries 3;",
        "        proxy_next_upstream_timeout 5s;",
    ];
    let shapes = [
        ("upstream ", " {"),
        ("    zone upstream_", " 1m;"),
        ("    server ", " max_fails=3 fail_timeout=5s;"),
        ("    listen 127.", ";"),
        ("    server_name ", ";"),
        ("        proxy_pass http://", ";"),
        ("        proxy_set_header ", ";"),
    ];
    for line in file.lines() {
        let value = |(start, end): &(&str, &str)| line.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
        let is_value = |value: &str| !value.contains(|c: char| ";{}\"'#".contains(c) || c.is_control());
        assert!(lines.contains(&line) || shapes.iter().filter_map(value).any(is_value), "{line:?} in\n{file}");
    }
}

#[tokio::test]
async fn hostile_entries_block_no_other_entry_in_the_shipped_template() {
    survives(Harness::new(shipped).await, 1, &["portreeve/default-service"]).await;
}

#[tokio::test]
async fn hostile_entries_block_no_other_entry_in_a_custom_template() {
    survives(Harness::new(naive).await, 2, &["name", "hosts/a", "hosts/b"]).await;
}

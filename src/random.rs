//! Chance: for delays that keep many hosts from doing the same at the same moment. Nothing here is secret.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A delay from nothing up to `limit`, each as likely as the other.
pub fn delay(limit: Duration) -> Duration {
    // Every state begins with keys of its own, and the first ones of a process come from the system.
    let number = RandomState::new().hash_one(()) >> 32;
    limit.mul_f64(number as f64 / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_over_the_whole_range() {
        let limit = Duration::from_secs(10);
        let delays: Vec<_> = (0..1000).map(|_| delay(limit)).collect();
        assert!(delays.iter().all(|delay| *delay <= limit));
        for part in 0..10 {
            let within = |delay: &&Duration| delay.as_secs() == part;
            assert!(delays.iter().filter(within).count() > 30, "{delays:?}");
        }
        assert_eq!(super::delay(Duration::ZERO), Duration::ZERO);
    }
}

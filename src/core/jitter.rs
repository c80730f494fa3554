//! Random delays that keep many hosts from acting at the same moment. Not cryptographically secure.

use std::time::Duration;

/// A random delay between zero and `limit`, uniformly distributed.
pub fn up_to(limit: Duration) -> Duration {
    limit.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_over_the_whole_range() {
        let limit = Duration::from_secs(10);
        let delays: Vec<_> = (0..1000).map(|_| up_to(limit)).collect();
        assert!(delays.iter().all(|delay| *delay <= limit));
        for part in 0..10 {
            let within = |delay: &&Duration| delay.as_secs() == part;
            assert!(delays.iter().filter(within).count() > 30, "{delays:?}");
        }
        assert_eq!(up_to(Duration::ZERO), Duration::ZERO);
    }
}

//! Free ports of the loopback address.

use std::net::TcpListener;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ServiceError;

/// Below what systems give to outgoing connections, so that the port of a server that is killed and started again is not
/// taken meanwhile.
const FIRST: u16 = 14_000;
const COUNT: u16 = 18_000;

/// A port of 127.0.0.1 that nobody listens to. This process does not get the same one twice; another one may take it before
/// it is used.
///
/// # Errors
/// If none is free.
pub fn free_port() -> Result<u16, ServiceError> {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| AtomicU16::new(scattered()));
    for _ in 0..COUNT {
        let port = FIRST + next.fetch_add(1, Relaxed) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(ServiceError::Ports { first: FIRST, last: FIRST + (COUNT - 1) })
}

/// Where this process begins: processes that run beside each other should not meet.
fn scattered() -> u16 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    let mixed = (u64::from(nanos) ^ (u64::from(std::process::id()) << 20)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 48) as u16 % COUNT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_none_is_given_twice() {
        let ports: std::collections::BTreeSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }
}

//! Folder names for hosts, whatever a host is called.
//!
//! Letters, digits, `-` and `_` stand for themselves, and so does a dot that is not the first character; every
//! other byte becomes `%` and two hexadecimal digits. A name that would be too long for a file system is cut
//! and ends in `%` and the host's SHA-256. No name is empty, holds a separator or starts with a dot, and no two
//! hosts share one.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// File systems take 255 bytes.
const BYTES_MAX: usize = 200;

/// Returns the folder name of a host.
pub(super) fn of_host(host: &str) -> String {
    let mut name = String::with_capacity(host.len());
    for byte in host.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if !name.is_empty() => name.push('.'),
            _ => {
                let _ = write!(name, "%{byte:02x}");
            }
        }
    }
    if name.is_empty() {
        return "%".to_owned();
    }
    if name.len() > BYTES_MAX {
        name.truncate(BYTES_MAX / 2);
        name.push('%');
        name.push_str(&hex::encode(Sha256::digest(host)));
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_readable() {
        assert_eq!(of_host("web-01.example.org"), "web-01.example.org");
        assert_eq!(of_host("../../etc"), "%2e.%2f..%2fetc");
        assert_eq!(of_host(".."), "%2e.");
        assert_eq!(of_host(""), "%");
    }

    proptest! {
        #[test]
        fn names_are_safe(host in any::<String>()) {
            let name = of_host(&host);
            prop_assert!(!name.is_empty() && name.len() <= BYTES_MAX);
            prop_assert!(!name.starts_with('.'));
            prop_assert!(!name.contains(['/', '\\', '\0']));
        }

        #[test]
        fn names_are_unique(one in ".{0,300}", other in ".{0,300}") {
            prop_assert_eq!(one == other, of_host(&one) == of_host(&other));
        }
    }
}

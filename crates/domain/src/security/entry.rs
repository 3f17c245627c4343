//! One entry of a whitelist: an IPv4 address, or a block of them.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

/// An address such as `10.1.2.3`, or a block such as `10.1.0.0/16`. It is shown as it was written:
/// whoever reads a list back compares it with what they sent.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    address: Ipv4Addr,
    /// The length of the prefix, where one was written.
    prefix: Option<u8>,
}

/// Neither an address nor a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an entry is an IPv4 address or a block such as 10.0.0.0/8")]
pub struct NoEntry;

impl Entry {
    /// The addresses that it means.
    pub fn net(self) -> Ipv4Net {
        Ipv4Net::new_assert(self.address, self.prefix.unwrap_or(32)).trunc()
    }
}

/// Four numbers without leading zeros; a prefix of 1 to 32 bits, or `0.0.0.0/0` for everyone.
impl FromStr for Entry {
    type Err = NoEntry;

    fn from_str(text: &str) -> Result<Self, NoEntry> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        // The library takes digits of ASCII only, and no leading zeros.
        let address: Ipv4Addr = address.parse().map_err(|_| NoEntry)?;
        let prefix = prefix.map(prefix_length).transpose()?;
        if prefix == Some(0) && !address.is_unspecified() {
            return Err(NoEntry);
        }
        Ok(Self { address, prefix })
    }
}

fn prefix_length(text: &str) -> Result<u8, NoEntry> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    let length = text.parse().ok().filter(|length| plain && *length <= 32);
    length.ok_or(NoEntry)
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.address),
            None => self.address.fmt(f),
        }
    }
}

/// Two entries that mean the same addresses are the same, however they are written.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.net() == other.net()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_written() {
        for text in ["10.1.2.3", "10.1.2.3/32", "10.1.2.3/8", "0.0.0.0/0", "255.255.255.255/1"] {
            assert_eq!(text.parse::<Entry>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn means_a_whole_block_whichever_of_its_addresses_was_written() {
        let entry: Entry = "10.1.2.3/8".parse().unwrap();
        assert_eq!(entry.net(), "10.0.0.0/8".parse().unwrap());
        assert_eq!(entry, "10.0.0.0/8".parse().unwrap());
        assert_eq!("10.1.2.3".parse::<Entry>(), "10.1.2.3/32".parse());
        assert_ne!("10.0.0.0/8".parse::<Entry>(), "10.0.0.0/9".parse());
    }

    #[test]
    fn refuses_what_looks_like_an_address() {
        for text in [
            "",
            "/",
            "/8",
            "10",
            "10.1",
            "10.1.2",
            "10.1.2.",
            "10.1.2.3.4",
            "256.1.1.1",
            "010.1.2.3",
            "0x0a.1.2.3",
            "167838211",
            " 10.1.2.3",
            "10.1.2.3 ",
            "10.1.2.3\n",
            "10.1.2.3\0",
            "-1.2.3.4",
            "+1.2.3.4",
            "10.1.2.3-10.1.2.9",
            "10.1.2.*",
            "10.1.2.3/",
            "10.1.2.3/33",
            "10.1.2.3/0",
            "0.0.0.0/00",
            "10.1.2.3/08",
            "10.1.2.3/+8",
            "10.1.2.3/-8",
            "10.1.2.3/ 8",
            "10.1.2.3/8/8",
            "10.1.2.3/255.0.0.0",
            "10.1.2.3/4294967304",
            "::1",
            "::ffff:10.1.2.3",
            "[10.1.2.3]",
            "10.1.2.3%lo",
            "localhost",
            "any",
            "%",
            // Digits of other scripts, full-width digits and dots, a one-dot leader.
            "１0.1.2.3",
            "10.1.2.٣",
            "10．1．2．3",
            "10。1。2。3",
            "10․1․2․3",
            "10.1.2.3／8",
            "10.1.2.3\u{200b}",
            "10.1.2.3/\u{0968}4",
        ] {
            assert_eq!(text.parse::<Entry>(), Err(NoEntry), "{text:?}");
        }
    }
}

//! Every short text that a caller may send: it is refused, or it is kept as it means and read back
//! as the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use ourkv_domain::backup::{
    BackupId, BackupJobId, BackupWindow, EngineStamp, Weekdays, parse_retention_days,
};
use ourkv_domain::billing::Money;
use ourkv_domain::idempotency::ClientToken;
use ourkv_domain::ids::{AccountId, InstanceId, RegionId, ZoneId};
use ourkv_domain::instance::name::InstanceName;
use ourkv_domain::instance::{EngineVersion, password};
use ourkv_domain::network::block::LoopbackBlock;

fuzz_target!(|text: &str| {
    read_back::<BackupId>(text);
    read_back::<BackupJobId>(text);
    read_back::<BackupWindow>(text);
    read_back::<EngineStamp>(text);
    read_back::<EngineVersion>(text);
    read_back::<Money>(text);
    read_back::<Weekdays>(text);
    read_back::<AccountId>(text);
    read_back::<InstanceId>(text);
    read_back::<RegionId>(text);
    read_back::<ZoneId>(text);
    if let Ok(days) = parse_retention_days(text) {
        assert_eq!(days.to_string(), text.trim_start_matches('0'));
    }
    if let Ok(window) = text.parse::<BackupWindow>() {
        assert!((1..24 * 60).contains(&(window.length().as_secs() / 60)));
    }
    if let Ok(name) = InstanceName::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains(char::is_control));
    }
    if let Ok(token) = ClientToken::parse(text) {
        assert_eq!(token.as_str(), text);
        assert!(text.is_ascii());
    }
    if let Ok(password) = password::parse(text) {
        // It stands in a line of an engine's configuration.
        assert!(password.expose().bytes().all(|byte| byte.is_ascii_graphic()));
    }
    if let Ok(block) = LoopbackBlock::parse(text) {
        assert!(block.serving().network().is_loopback());
        assert!(block.classic().broadcast().is_loopback());
    }
});

fn read_back<T>(text: &str)
where
    T: FromStr + Display + PartialEq + Debug,
    T::Err: Debug,
{
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>().expect("what it prints can be read");
        assert_eq!(again, value);
    }
}

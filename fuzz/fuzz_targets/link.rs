//! The query of a link to a backup: nothing opens one but the signature that was made for it.
#![no_main]

use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use ourkv::links::{LinkKey, Links, Pass};
use ourkv_domain::backup::BackupId;

fuzz_target!(|query: &str| {
    let links =
        |key: u8| Links::new(LinkKey::of(&[key; 32]), String::new(), SignedDuration::from_secs(60));
    let [one, other] = ["100000001", "100000002"].map(|id| id.parse().expect("an id"));
    let ours = links(1);
    admit(&ours, one, query);
    // The same behind a good link, as a proxy might add to it.
    let url = ours.url(one, Timestamp::UNIX_EPOCH);
    let good = url.split_once('?').map_or("", |(_, query)| query);
    let longer = format!("{good}&{query}");
    assert!(admit(&ours, one, &longer));
    assert!(!admit(&ours, other, &longer));
    assert!(!admit(&links(2), one, &longer));
});

fn admit(links: &Links, backup: BackupId, query: &str) -> bool {
    let Some(pass) = Pass::read(query) else { return false };
    let admitted = links.admits(backup, pass.expires, &pass.signature, Timestamp::UNIX_EPOCH);
    // Letters of either case are the same digits.
    let made = format!("Expires={}&Signature={}", pass.expires, pass.signature.to_lowercase());
    let url = links.url(backup, Timestamp::UNIX_EPOCH);
    assert_eq!(admitted, url.ends_with(&format!("?{made}")));
    admitted
}

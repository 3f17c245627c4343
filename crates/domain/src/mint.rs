//! Minting of ids and secrets from a random source that is handed in.
//!
//! With a seeded source every id is reproducible, so a test or a random run can be replayed.

use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::backup::{BackupId, BackupJobId};
use crate::catalogue::region::Region;
use crate::ids::{AccessKeyId, AccountId, CouponNo, InstanceId, NodeId, OrderId, VSwitchId, VpcId};
use crate::instance::InstanceType;
use crate::secret::Secret;

const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const MIXED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The source of every id and generated secret.
#[derive(Debug)]
pub struct Mint(Mutex<StdRng>);

impl Mint {
    /// A mint over 32 bytes of seed: from the operating system in production, fixed in tests.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Mutex::new(StdRng::from_seed(seed)))
    }

    /// `r-` or `m-`, the region's code, and random characters: 16 in all after the dash.
    pub fn instance(&self, kind: InstanceType, region: &Region) -> InstanceId {
        let prefix = match kind {
            InstanceType::Redis => "r",
            InstanceType::Memcache => "m",
        };
        let id = format!("{prefix}-{}{}", region.code, self.draw(LOWER, 16 - region.code.len()));
        InstanceId::parse(id).expect("a prefix, a code and lower-case alphanumerics are an id")
    }

    /// `vpc-`, the region's code, and random characters.
    pub fn vpc(&self, region: &Region) -> VpcId {
        VpcId::parse(format!("vpc-{}{}", region.code, self.draw(LOWER, 18)))
            .expect("a prefix, a code and lower-case alphanumerics are an id")
    }

    /// `vsw-`, the region's code, and random characters.
    pub fn vswitch(&self, region: &Region) -> VSwitchId {
        VSwitchId::parse(format!("vsw-{}{}", region.code, self.draw(LOWER, 18)))
            .expect("a prefix, a code and lower-case alphanumerics are an id")
    }

    /// Fifteen decimal digits, no leading zero: the form of the vendor's order numbers.
    pub fn order(&self) -> OrderId {
        OrderId::parse(self.decimal(15)).expect("decimal digits are an id")
    }

    /// Fifteen decimal digits, no leading zero.
    pub fn coupon(&self) -> CouponNo {
        CouponNo::parse(self.decimal(15)).expect("decimal digits are an id")
    }

    /// Sixteen decimal digits, no leading zero.
    pub fn account(&self) -> AccountId {
        AccountId::parse(self.decimal(16)).expect("decimal digits are an id")
    }

    /// A number of nine decimal digits. There are few of them: whoever uses one sees to it that
    /// it is free.
    pub fn backup_id(&self) -> BackupId {
        BackupId::new(self.nine_digits()).expect("a number of nine digits is an id")
    }

    /// A number of nine decimal digits, likewise.
    pub fn backup_job_id(&self) -> BackupJobId {
        BackupJobId::new(self.nine_digits()).expect("a number of nine digits is an id")
    }

    /// A number of nine decimal digits that names a task of an instance for its owner.
    pub fn task_id(&self) -> i64 {
        self.nine_digits()
    }

    /// The identity of one machine's data directory.
    pub fn node(&self) -> NodeId {
        NodeId::parse(format!("node-{}", self.draw(LOWER, 12)))
            .expect("a prefix and lower-case alphanumerics are an id")
    }

    /// `LTAI…`, the form of the vendor's AccessKey ids.
    pub fn access_key(&self) -> AccessKeyId {
        AccessKeyId::parse(format!("LTAI5t{}", self.draw(MIXED, 18)))
            .expect("a prefix and alphanumerics are an id")
    }

    /// A secret of `len` letters and digits: 5.9 bits of entropy each.
    pub fn secret(&self, len: usize) -> Secret {
        Secret::from(self.draw(MIXED, len))
    }

    /// Lower-case letters and digits that tell one start of an engine from every other.
    pub fn nonce(&self) -> String {
        self.draw(LOWER, 16)
    }

    /// 24 random bytes: the nonce of one sealed value.
    pub fn seal_nonce(&self) -> [u8; 24] {
        self.rng().random()
    }

    /// 16 random bytes: the matter of a request's id.
    pub fn uuid_bytes(&self) -> [u8; 16] {
        self.rng().random()
    }

    fn nine_digits(&self) -> i64 {
        self.rng().random_range(100_000_000..=999_999_999)
    }

    fn decimal(&self, len: usize) -> String {
        format!("{}{}", self.draw(b"123456789", 1), self.draw(b"0123456789", len - 1))
    }

    fn draw(&self, alphabet: &[u8], len: usize) -> String {
        let mut rng = self.rng();
        (0..len).map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())])).collect()
    }

    fn rng(&self) -> std::sync::MutexGuard<'_, StdRng> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_mints_the_same_ids() {
        let (a, b) = (Mint::from_seed([7; 32]), Mint::from_seed([7; 32]));
        assert_eq!(a.order(), b.order());
        assert_eq!(a.access_key(), b.access_key());
        assert_ne!(a.order(), a.order());
    }
}

//! Every substrate keeps the same rules.

use ourkv_control::substrate::fake::Fake;
use ourkv_control::substrate::{Member, contract};
use ourkv_domain::instance::{InstanceType, NodeType};
use rstest::rstest;

use crate::common;

#[rstest]
#[case::standalone(InstanceType::Redis, NodeType::StandAlone)]
#[case::pair(InstanceType::Redis, NodeType::MasterSlave)]
#[case::memcache(InstanceType::Memcache, NodeType::MasterSlave)]
#[tokio::test]
async fn the_fake_keeps_the_rules(#[case] kind: InstanceType, #[case] nodes: NodeType) {
    let (fake, unit) = (Fake::default(), common::unit(kind, nodes));
    contract::holds(&fake, &unit).await;
    contract::a_death_is_reported(&fake, &unit, async || {
        assert!(fake.kill(&unit.id, Member::First));
    })
    .await;
}

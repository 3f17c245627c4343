//! The tables hold what the catalogue promises about them.

use std::collections::HashSet;

use rstest::rstest;

use super::*;
use crate::instance::EngineVersion;

fn catalogue() -> &'static Catalogue {
    Catalogue::builtin()
}

#[test]
fn every_line_of_the_tables_parses() {
    Catalogue::read(
        include_str!("../../data/regions.json"),
        include_str!("../../data/classes.json"),
    )
    .unwrap();
}

#[test]
fn codes_of_classes_and_regions_and_ids_of_zones_are_unique() {
    let c = catalogue();
    let codes: HashSet<_> = c.classes().iter().map(|class| &class.code).collect();
    assert_eq!(codes.len(), c.classes().len());
    let regions: HashSet<_> = c.regions().iter().map(|region| &region.code).collect();
    assert_eq!(regions.len(), c.regions().len());
    let zones: Vec<_> = c.regions().iter().flat_map(|region| &region.zones).collect();
    assert_eq!(zones.iter().map(|zone| &zone.id).collect::<HashSet<_>>().len(), zones.len());
}

#[test]
fn every_class_has_sane_figures() {
    for class in catalogue().classes() {
        let code = &class.code;
        assert!(class.capacity_mb >= 256 && class.bandwidth_mbps > 0, "{code}");
        assert!((10_000..=2_560_000).contains(&class.connections), "{code}");
        assert!(class.qps > 0 && class.shards > 0 && class.hourly_price > 0, "{code}");
        assert!(!class.versions.is_empty(), "{code}");
        assert_eq!(
            class.shards > 1,
            class.shards > 1 && class.architecture != Architecture::Standard
        );
        assert!(
            class.code.starts_with("memcache.") == (class.instance_type == InstanceType::Memcache)
        );
    }
}

#[test]
fn only_standard_classes_run() {
    for class in catalogue().classes() {
        let standard = ["redis.master.", "redis.basic.", "memcache.master."]
            .iter()
            .any(|family| class.code.starts_with(family));
        assert_eq!(class.availability == Availability::Runs, standard, "{}", class.code);
        assert!(!standard || class.architecture == Architecture::Standard, "{}", class.code);
    }
}

#[rstest]
// The response sample of the CreateInstance page.
#[case("redis.master.2xlarge.default", 16_384, 32, 10_000, 100_000, 1)]
#[case("redis.master.micro.default", 256, 10, 10_000, 100_000, 1)]
#[case("redis.master.large.special1x", 8_192, 48, 20_000, 100_000, 1)]
#[case("redis.basic.4xlarge.default", 32_768, 32, 10_000, 100_000, 1)]
#[case("redis.sharding.8xlarge.default", 524_288, 1_536, 320_000, 2_560_000, 32)]
#[case("redis.logic.sharding.2g.2db.0rodb.4proxy.default", 4_096, 192, 20_000, 200_000, 2)]
#[case("redis.logic.sharding.32g.4db.0rodb.8proxy.default", 131_072, 768, 80_000, 800_000, 4)]
#[case("redis.logic.splitrw.small.1db.3rodb.4proxy.default", 1_024, 384, 40_000, 400_000, 1)]
#[case("redis.shard.xlarge.ce", 8_192, 40, 10_000, 100_000, 1)]
#[case("memcache.sharding.mid.default", 32_768, 384, 480_000, 400_000, 4)]
fn classes_have_the_documented_figures(
    #[case] code: &str,
    #[case] capacity_mb: i64,
    #[case] bandwidth_mbps: i64,
    #[case] connections: i64,
    #[case] qps: i64,
    #[case] shards: u32,
) {
    let class = catalogue().class(code).unwrap();
    assert_eq!(
        (class.capacity_mb, class.bandwidth_mbps, class.connections, class.qps, class.shards),
        (capacity_mb, bandwidth_mbps, connections, qps, shards)
    );
}

#[test]
fn a_class_is_found_by_its_exact_code_only() {
    for code in
        ["", "redis.master.small", "REDIS.MASTER.SMALL.DEFAULT", "redis.master.small.default "]
    {
        assert!(catalogue().class(code).is_none(), "{code:?}");
    }
}

#[rstest]
#[case(256, InstanceType::Redis, NodeType::MasterSlave, Some("redis.master.micro.default"))]
#[case(16_384, InstanceType::Redis, NodeType::MasterSlave, Some("redis.master.2xlarge.default"))]
#[case(65_536, InstanceType::Redis, NodeType::MasterSlave, Some("redis.master.8xlarge.default"))]
#[case(131_072, InstanceType::Redis, NodeType::MasterSlave, Some("redis.sharding.2xlarge.default"))]
#[case(524_288, InstanceType::Redis, NodeType::MasterSlave, Some("redis.sharding.8xlarge.default"))]
#[case(1_048_576, InstanceType::Redis, NodeType::MasterSlave, None)]
#[case(24_576, InstanceType::Redis, NodeType::MasterSlave, None)]
#[case(0, InstanceType::Redis, NodeType::MasterSlave, None)]
#[case(-1, InstanceType::Redis, NodeType::MasterSlave, None)]
#[case(1_024, InstanceType::Redis, NodeType::StandAlone, Some("redis.basic.small.default"))]
#[case(256, InstanceType::Redis, NodeType::StandAlone, None)]
#[case(65_536, InstanceType::Redis, NodeType::StandAlone, None)]
#[case(8_192, InstanceType::Memcache, NodeType::MasterSlave, Some("memcache.master.large.default"))]
#[case(8_192, InstanceType::Memcache, NodeType::StandAlone, Some("memcache.master.large.default"))]
#[case(
    16_384,
    InstanceType::Memcache,
    NodeType::MasterSlave,
    Some("memcache.sharding.small.default")
)]
#[case(256, InstanceType::Memcache, NodeType::MasterSlave, None)]
fn capacity_alone_resolves_to_one_class(
    #[case] capacity_mb: i64,
    #[case] instance_type: InstanceType,
    #[case] node_type: NodeType,
    #[case] code: Option<&str>,
) {
    let class = catalogue().by_capacity(capacity_mb, instance_type, node_type);
    assert_eq!(class.map(|class| class.code.as_str()), code);
}

#[test]
fn no_capacity_is_ambiguous() {
    let keys: Vec<_> = catalogue()
        .classes()
        .iter()
        .filter(|class| class.by_capacity)
        .map(|class| (class.instance_type, class.node_type, class.capacity_mb))
        .collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
}

#[test]
fn the_price_of_a_gigabyte_is_the_documented_one() {
    assert_eq!(catalogue().class("redis.master.small.default").unwrap().hourly_price, 210_000);
}

#[test]
fn cloud_native_classes_need_engine_five() {
    let class = catalogue().class("redis.shard.small.ce").unwrap();
    assert!(class.fits(EngineVersion::V5_0) && !class.fits(EngineVersion::V2_8));
}

#[test]
fn the_example_of_the_page_can_be_served() {
    let region = catalogue().region(&RegionId::parse("cn-hongkong").unwrap()).unwrap();
    assert!(region.classic, "the example names no network, so it asks for CLASSIC");
    assert_eq!(region.zones[0].id.as_str(), "cn-hongkong-b");
    assert_eq!(region.code, "j6c");
    assert_eq!(region.domain_label(), None, "the sample domain has no region part");
    assert_eq!(region.price_percent, 115);
}

#[rstest]
#[case("cn-hangzhou", "r-kvstore.aliyuncs.com", None)]
#[case("cn-huhehaote", "r-kvstore.cn-huhehaote.aliyuncs.com", Some("cn-huhehaote"))]
#[case("ap-southeast-1", "r-kvstore.ap-southeast-1.aliyuncs.com", Some("ap-southeast-1"))]
fn regions_outside_the_central_group_carry_their_id_in_names(
    #[case] id: &str,
    #[case] endpoint: &str,
    #[case] label: Option<&str>,
) {
    let region = catalogue().region(&RegionId::parse(id).unwrap()).unwrap();
    assert_eq!(region.endpoint(), endpoint);
    assert_eq!(region.domain_label(), label);
}

#[test]
fn region_codes_are_three_lower_case_alphanumerics() {
    for region in catalogue().regions() {
        assert!(region.code.len() == 3, "{}", region.code);
        assert!(
            region.code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
            "{}",
            region.code
        );
        assert!(!region.zones.is_empty());
        assert!((50..=200).contains(&region.price_percent));
    }
}

#[test]
fn zones_belong_to_the_region_whose_id_they_begin_with() {
    for region in catalogue().regions() {
        for zone in &region.zones {
            assert!(zone.id.as_str().starts_with(region.id.as_str()), "{}", zone.id);
            assert_eq!(catalogue().zone(&zone.id).unwrap().0.id, region.id);
        }
    }
}

#[rstest]
#[case("cn-hongkong-b", "中国（香港） 可用区 B", "China (Hong Kong) Zone B")]
#[case("ap-southeast-1a", "新加坡 可用区 A", "Singapore Zone A")]
#[case(
    "cn-hangzhou-MAZ6(b,f)",
    "华东 1（杭州） 可用区 MAZ6(b,f)",
    "China (Hangzhou) Zone MAZ6(b,f)"
)]
fn zones_are_named_after_region_and_letter(#[case] id: &str, #[case] zh: &str, #[case] en: &str) {
    let (_, zone) = catalogue().zone(&ZoneId::parse(id).unwrap()).unwrap();
    assert_eq!((zone.name.as_str(), zone.name_en.as_str()), (zh, en));
}

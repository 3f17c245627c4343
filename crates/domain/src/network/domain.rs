//! The names of endpoints: `<id>.redis.rds.aliyuncs.com` and its regional form.

use crate::catalogue::region::Region;
use crate::ids::InstanceId;
use crate::instance::InstanceType;

/// The vendor's suffix; an operator may configure another.
pub const DEFAULT_SUFFIX: &str = "rds.aliyuncs.com";

/// The name of an instance's endpoint. Regions of the central group leave the region out.
pub fn connection_domain(
    id: &InstanceId,
    kind: InstanceType,
    region: &Region,
    suffix: &str,
) -> String {
    let product = match kind {
        InstanceType::Redis => "redis",
        InstanceType::Memcache => "memcache",
    };
    if region.central {
        format!("{id}.{product}.{suffix}")
    } else {
        format!("{id}.{product}.{}.{suffix}", region.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::ids::RegionId;

    #[test]
    fn has_the_form_of_the_page() {
        let region = RegionId::parse("cn-hongkong").unwrap();
        let region = Catalogue::builtin().region(&region).unwrap();
        let id = InstanceId::parse("r-j6cxxxxxxxxxxxxx").unwrap();
        assert_eq!(
            connection_domain(&id, InstanceType::Redis, region, DEFAULT_SUFFIX),
            "r-j6cxxxxxxxxxxxxx.redis.rds.aliyuncs.com"
        );
    }

    #[test]
    fn names_the_region_outside_the_central_group() {
        let region = RegionId::parse("us-west-1").unwrap();
        let region = Catalogue::builtin().region(&region).unwrap();
        let id = InstanceId::parse("m-rj9xxxxxxxxxxxxx").unwrap();
        assert_eq!(
            connection_domain(&id, InstanceType::Memcache, region, "kv.example"),
            "m-rj9xxxxxxxxxxxxx.memcache.us-west-1.kv.example"
        );
    }
}

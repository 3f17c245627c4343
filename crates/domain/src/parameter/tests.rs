//! Rules of the parameter table, of reading `Config`, and of directives.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use EngineVersion::{V2_8, V4_0, V5_0};

/// The Config sample of the `CreateInstance` page.
const SAMPLE: &str = r#"{"EvictionPolicy":"volatile-lru","hash-max-ziplist-entries":512,"zset-max-ziplist-entries":128,"zset-max-ziplist-value":64,"set-max-intset-entries":512,"hash-max-ziplist-value":64}"#;

fn redis(text: &str, version: EngineVersion) -> Result<Parameters, ParameterError> {
    Parameters::parse_config(text, InstanceType::Redis, version)
}

fn invalid(name: &str) -> ParameterError {
    ParameterError::Invalid { name: name.into() }
}

fn directive<'a>(directives: &'a [Directive], name: &str) -> Option<&'a str> {
    directives.iter().find(|d| d.name == name).map(|d| d.value.as_str())
}

#[test]
fn every_line_of_the_table_is_consistent() {
    let names: std::collections::HashSet<_> = parameters().iter().map(|p| &p.name).collect();
    assert_eq!(names.len(), parameters().len());
    for p in parameters() {
        let name = &p.name;
        assert!(
            name.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && b != b'"' && b != b'\\')
        );
        assert!(p.until.is_none_or(|until| until >= p.since), "{name}");
        assert_eq!(p.directive.is_some(), p.scope == Scope::Engine, "{name}");
        assert_eq!(p.accept(&p.default, p.since), Ok(p.default.clone()), "{name}: default");
    }
    assert_eq!(parameters()[table::ALIAS].name, "maxmemory-policy");
    assert_eq!(parameters()[0].name, "EvictionPolicy");
}

#[test]
fn every_parameter_accepts_its_default_and_its_bounds_and_nothing_beyond() {
    for p in parameters().iter().filter(|p| p.modifiable && p.scope != Scope::Proxy) {
        let version = p.since;
        let accepts = |value: &str| redis(&format!(r#"{{"{}":{value}}}"#, p.name), version);
        assert!(accepts(&shown(&p.default)).is_ok(), "{}", p.name);
        let outside = match &p.kind {
            Kind::Integer { min, max } => {
                for bound in [min.to_string(), max.to_string(), format!("\"{max}\"")] {
                    assert!(accepts(&bound).is_ok(), "{} = {bound}", p.name);
                }
                vec![(min - 1).to_string(), (max + 1).to_string(), format!("\"{}\"", max + 1)]
            }
            Kind::Limits => vec!["\"-1 0 0\"".into(), "\"0 0 1000000000\"".into()],
            _ => vec!["\"?\"".into(), "0".into()],
        };
        for value in outside {
            assert_eq!(accepts(&value), Err(invalid(&p.name)), "{value}");
        }
    }
}

#[test]
fn the_defaults_are_the_sample_of_the_page() {
    let defaults = Parameters::defaults(InstanceType::Redis, V2_8);
    assert_eq!(defaults.to_config_json(), SAMPLE);
    assert_eq!(redis(SAMPLE, V2_8), Ok(defaults));
}

#[test]
fn memcache_has_no_parameters() {
    let parse = |text| Parameters::parse_config(text, InstanceType::Memcache, V2_8);
    assert_eq!(parse("{}").unwrap().to_config_json(), "{}");
    assert_eq!(parse("{}").unwrap().directives((7, 0)), []);
    assert_eq!(parse(r#"{"timeout":0}"#), Err(invalid("timeout")));
}

#[test]
fn numbers_may_come_as_strings_and_are_shown_as_numbers() {
    let set = redis(r#"{"hash-max-ziplist-entries":"1024","timeout":"5"}"#, V4_0).unwrap();
    assert_eq!(set.get("hash-max-ziplist-entries"), Some(&Value::Int(1024)));
    assert!(set.to_config_json().ends_with(r#""hash-max-ziplist-value":64,"timeout":5}"#));
}

#[test]
fn both_names_of_the_policy_are_one_parameter() {
    let set = redis(r#"{"maxmemory-policy":"allkeys-lru"}"#, V2_8).unwrap();
    assert_eq!(set.get("EvictionPolicy"), Some(&Value::Word("allkeys-lru".into())));
    let later = set.merged(r#"{"EvictionPolicy":"noeviction"}"#).unwrap();
    assert_eq!(later.get("maxmemory-policy"), Some(&Value::Word("noeviction".into())));
    assert!(
        redis(r#"{"EvictionPolicy":"noeviction","maxmemory-policy":"noeviction"}"#, V2_8).is_ok()
    );
    assert_eq!(
        redis(r#"{"EvictionPolicy":"noeviction","maxmemory-policy":"allkeys-lru"}"#, V2_8),
        Err(invalid("maxmemory-policy"))
    );
}

#[test]
fn merging_changes_only_the_named_keys() {
    let first = redis(r#"{"slowlog-max-len":200}"#, V4_0).unwrap();
    let second = first.merged(r#"{"hz":20}"#).unwrap();
    assert_eq!(second.get("slowlog-max-len"), Some(&Value::Int(200)));
    assert_eq!(second.get("hz"), Some(&Value::Int(20)));
}

#[rstest]
#[case(r#"{"list-max-ziplist-size":-2}"#, V2_8, Some("list-max-ziplist-size"))]
#[case(r#"{"list-max-ziplist-size":-2}"#, V4_0, None)]
#[case(r#"{"list-max-ziplist-entries":512}"#, V2_8, None)]
#[case(r#"{"list-max-ziplist-entries":512}"#, V4_0, Some("list-max-ziplist-entries"))]
#[case(r#"{"dynamic-hz":"yes"}"#, V4_0, Some("dynamic-hz"))]
#[case(r#"{"dynamic-hz":"yes"}"#, V5_0, None)]
#[case(r#"{"timeout":1}"#, V2_8, Some("timeout"))]
#[case(r##"{"#no_loose_ssl-enabled":"no"}"##, V5_0, Some("#no_loose_ssl-enabled"))]
#[case(r#"{"script_check_enable":1}"#, V5_0, Some("script_check_enable"))]
fn keys_belong_to_versions(
    #[case] text: &str,
    #[case] version: EngineVersion,
    #[case] refused: Option<&str>,
) {
    let refused = refused.map(|name| ParameterError::NotForVersion { name: name.into() });
    assert_eq!(redis(text, version).err(), refused);
}

#[rstest]
#[case(r#"{"maxmemory":"1gb\nrequirepass x"}"#, "maxmemory")]
#[case(r#"{"maxmemory":1}"#, "maxmemory")]
#[case(r#"{"databases":256}"#, "databases")]
#[case(r#"{"appendfsync":"everysec"}"#, "appendfsync")]
#[case(r#"{"requirepass":"x"}"#, "requirepass")]
#[case("{\"a\\nb\\u0000\":1}", "ab")]
#[case(r#"{"EvictionPolicy":"volatile-lru\nrequirepass x"}"#, "EvictionPolicy")]
#[case(r#"{"EvictionPolicy":"volatile-lru\u0000"}"#, "EvictionPolicy")]
#[case(r#"{"EvictionPolicy":"volatile-lfu"}"#, "EvictionPolicy")]
#[case(r#"{"EvictionPolicy":"volatile‐lru"}"#, "EvictionPolicy")]
#[case(r#"{"EvictionPolicy":null}"#, "EvictionPolicy")]
#[case(r#"{"EvictionPolicy":["volatile-lru"]}"#, "EvictionPolicy")]
#[case(r#"{"EvictionPolicy":{"a":1}}"#, "EvictionPolicy")]
#[case(r#"{"slowlog-max-len":100.0}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":1e3}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":true}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":18446744073709551615}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":999999999999999999999999999999}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":" 100"}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":"+100"}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":"0100"}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":"１００"}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":200,"slowlog-max-len":200}"#, "slowlog-max-len")]
#[case(r#"{"slowlog-max-len":200,"slowlog\u002dmax-len":201}"#, "slowlog-max-len")]
#[case(r#"{"notify-keyspace-events":"KK"}"#, "notify-keyspace-events")]
#[case(r#"{"notify-keyspace-events":"K\""}"#, "notify-keyspace-events")]
#[case(r##"{"#no_loose_disabled-commands":"keys,shutdown"}"##, "#no_loose_disabled-commands")]
#[case(r##"{"#no_loose_disabled-commands":"keys,keys"}"##, "#no_loose_disabled-commands")]
#[case(r##"{"#no_loose_disabled-commands":"KEYS"}"##, "#no_loose_disabled-commands")]
#[case(r##"{"#no_loose_disabled-commands":"keys,"}"##, "#no_loose_disabled-commands")]
#[case(r##"{"#no_loose_ssl-enabled":"yes"}"##, "#no_loose_ssl-enabled")]
#[case(r#"{"client-output-buffer-limit pubsub":"1 2"}"#, "client-output-buffer-limit pubsub")]
#[case(r#"{"client-output-buffer-limit pubsub":"1 2 3 4"}"#, "client-output-buffer-limit pubsub")]
#[case(r#"{"client-output-buffer-limit pubsub":"1mb 2 3"}"#, "client-output-buffer-limit pubsub")]
#[case(r#"{"client-output-buffer-limit pubsub":"1  2 3"}"#, "client-output-buffer-limit pubsub")]
fn refuses_what_is_not_in_the_lists(#[case] text: &str, #[case] name: &str) {
    assert_eq!(redis(text, V2_8), Err(invalid(name)));
}

#[rstest]
#[case("")]
#[case("[]")]
#[case("null")]
#[case("\"{}\"")]
#[case("{")]
#[case("{} {}")]
#[case(r#"{"slowlog-max-len":NaN}"#)]
#[case(r#"{"slowlog-max-len":0x10}"#)]
#[case(r#"{"slowlog-max-len":1e999}"#)]
#[case("{'timeout':1}")]
#[case("{\"EvictionPolicy\":\"volatile-lru\n\"}")]
fn refuses_what_is_not_a_json_object(#[case] text: &str) {
    assert_eq!(redis(text, V2_8), Err(ParameterError::Malformed));
}

#[test]
fn depth_and_size_are_bounded() {
    for depth in [200, 7_000, 100_000] {
        let text = format!(r#"{{"timeout":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(redis(&text, V4_0).is_err());
        let text = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert!(redis(&text, V4_0).is_err());
    }
    let padded = |len: usize| format!("{{}}{}", " ".repeat(len - 2));
    assert!(redis(&padded(Parameters::MAX_CONFIG_BYTES), V4_0).is_ok());
    let too_long = redis(&padded(Parameters::MAX_CONFIG_BYTES + 1), V4_0);
    assert_eq!(too_long, Err(ParameterError::Malformed));
}

#[test]
fn refused_names_are_shortened() {
    let Err(ParameterError::Invalid { name }) =
        redis(&format!(r#"{{"{}":1}}"#, "x".repeat(999)), V2_8)
    else {
        panic!("an unknown key is invalid")
    };
    assert_eq!(name.len(), 64);
}

#[rstest]
#[case((2, 8), V2_8, "list-max-ziplist-entries", Some("512"))]
#[case((3, 2), V2_8, "list-max-ziplist-entries", None)]
#[case((2, 8), V2_8, "hash-max-ziplist-entries", Some("512"))]
#[case((6, 2), V2_8, "hash-max-ziplist-entries", Some("512"))]
#[case((7, 0), V2_8, "hash-max-ziplist-entries", None)]
#[case((7, 0), V2_8, "hash-max-listpack-entries", Some("512"))]
#[case((7, 2), V4_0, "list-max-listpack-size", Some("-2"))]
#[case((6, 0), V4_0, "list-max-ziplist-size", Some("-2"))]
#[case((2, 8), V4_0, "list-max-ziplist-size", None)]
#[case((3, 2), V4_0, "lazyfree-lazy-expire", None)]
#[case((4, 0), V4_0, "lazyfree-lazy-expire", Some("yes"))]
#[case((7, 0), V2_8, "lazyfree-lazy-expire", None)]
#[case((4, 0), V5_0, "dynamic-hz", None)]
#[case((5, 0), V5_0, "dynamic-hz", Some("yes"))]
#[case((7, 0), V5_0, "maxmemory-policy", Some("volatile-lru"))]
#[case((7, 0), V5_0, "notify-keyspace-events", Some(""))]
#[case((7, 0), V5_0, "client-output-buffer-limit", Some("pubsub 33554432 8388608 60"))]
#[case((7, 0), V5_0, "EvictionPolicy", None)]
#[case((7, 0), V5_0, "appendonly", None)]
#[case((7, 0), V5_0, "appendfsync", None)]
#[case((7, 0), V5_0, "maxmemory", None)]
#[case((7, 0), V5_0, "databases", None)]
fn an_engine_is_told_what_it_knows(
    #[case] engine: (u16, u16),
    #[case] version: EngineVersion,
    #[case] name: &str,
    #[case] value: Option<&str>,
) {
    let directives = Parameters::defaults(InstanceType::Redis, version).directives(engine);
    assert_eq!(directive(&directives, name), value);
}

#[test]
fn settings_override_defaults_and_each_directive_comes_once() {
    let set = redis(
        r#"{"maxmemory-policy":"allkeys-lfu","notify-keyspace-events":"KEx","slowlog-max-len":"200"}"#,
        V5_0,
    )
    .unwrap();
    let directives = set.directives((7, 2));
    assert_eq!(directive(&directives, "maxmemory-policy"), Some("allkeys-lfu"));
    assert_eq!(directive(&directives, "notify-keyspace-events"), Some("KEx"));
    assert_eq!(directive(&directives, "slowlog-max-len"), Some("200"));
    let names: std::collections::HashSet<_> = directives.iter().map(|d| d.name).collect();
    assert_eq!(names.len(), directives.len());
    assert_eq!(directive(&set.directives((2, 8)), "maxmemory-policy"), None);
}

#[rstest]
#[case((5, 0), "2147483647")]
#[case((6, 0), "999999999999999")]
fn an_engine_is_told_no_larger_number_than_it_can_hold(
    #[case] engine: (u16, u16),
    #[case] told: &str,
) {
    let set = redis(r#"{"stream-node-max-entries":999999999999999}"#, V5_0).unwrap();
    assert_eq!(directive(&set.directives(engine), "stream-node-max-entries"), Some(told));
    assert!(set.to_config_json().contains("999999999999999"));
}

#[test]
fn control_reads_persistence_and_disabled_commands() {
    let set = redis(r##"{"appendonly":"no","#no_loose_disabled-commands":"keys,flushall"}"##, V2_8);
    let set = set.unwrap();
    assert_eq!(set.appendonly(), Some(false));
    assert_eq!(set.disabled_commands(), ["flushall", "keys"]);
    let defaults = Parameters::defaults(InstanceType::Redis, V2_8);
    assert_eq!(defaults.appendonly(), None);
    assert!(defaults.disabled_commands().is_empty());
}

#[rstest]
#[case("")]
#[case("Redis 2.8")]
#[case("Redis 3.0 {}")]
#[case("Tair 2.8 {}")]
#[case("Redis 2.8 {\"requirepass\":\"x\"}")]
fn stored_text_is_checked_like_any_other(#[case] text: &str) {
    assert!(Parameters::from_stored(text).is_err());
}

/// JSON that looks enough like a Config to get far.
fn config() -> impl Strategy<Value = String> {
    let names: Vec<String> = parameters().iter().map(|p| p.name.clone()).collect();
    let name = prop_oneof![9 => prop::sample::select(names), 1 => ".{0,20}"];
    let known = parameters().iter().map(|p| p.default.to_string()).collect::<Vec<_>>();
    let value = prop_oneof![
        any::<i64>().prop_map(serde_json::Value::from),
        (0_i64..1000).prop_map(serde_json::Value::from),
        prop::sample::select(vec!["yes", "no", "noeviction", "keys,eval", "1 2 3", "KEA", ""])
            .prop_map(serde_json::Value::from),
        prop::sample::select(known).prop_map(serde_json::Value::from),
        ".{0,20}".prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
    ];
    prop::collection::vec((name, value), 0..4)
        .prop_map(|members| serde_json::Value::Object(members.into_iter().collect()).to_string())
}

fn version() -> impl Strategy<Value = EngineVersion> {
    prop::sample::select(vec![V2_8, V4_0, V5_0])
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in ".*", version in version()) {
        let _ = redis(&text, version);
    }

    #[test]
    fn no_directive_holds_what_could_end_a_line_or_a_word(
        text in config(),
        version in version(),
        engine in prop::sample::select(vec![(2, 8), (3, 2), (4, 0), (5, 0), (6, 2), (7, 0), (7, 2)]),
    ) {
        let Ok(set) = redis(&text, version) else { return Ok(()) };
        for Directive { name, value } in set.directives(engine) {
            prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", name);
            prop_assert!(
                value.bytes().all(|b| b.is_ascii_alphanumeric() || b" -$".contains(&b)),
                "{:?}", value
            );
        }
    }

    #[test]
    fn accepted_parameters_survive_storing_and_showing(text in config(), version in version()) {
        let Ok(set) = redis(&text, version) else { return Ok(()) };
        prop_assert_eq!(Parameters::from_stored(&set.to_stored()), Ok(set.clone()));
        prop_assert_eq!(redis(&set.to_config_json(), version), Ok(set.clone()));
        let json = serde_json::to_string(&set).unwrap();
        prop_assert_eq!(serde_json::from_str::<Parameters>(&json).unwrap(), set);
    }
}

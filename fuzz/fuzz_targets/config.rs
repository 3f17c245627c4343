//! `Config` of CreateInstance: whatever it says, no line of an engine's configuration is anything
//! but a known name and plain words, and what is stored is read back as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ourkv_domain::instance::{EngineVersion, InstanceType};
use ourkv_domain::parameter::Parameters;

const VERSIONS: [&str; 3] = ["2.8", "4.0", "5.0"];
const ENGINES: [(u16, u16); 6] = [(2, 8), (4, 0), (5, 0), (6, 0), (6, 2), (7, 0)];

fuzz_target!(|data: &str| {
    for version in VERSIONS {
        let version: EngineVersion = version.parse().expect("a version that exists");
        for kind in [InstanceType::Redis, InstanceType::Memcache] {
            let Ok(parameters) = Parameters::parse_config(data, kind, version) else { continue };
            let stored = Parameters::from_stored(&parameters.to_stored());
            assert_eq!(stored.as_ref(), Ok(&parameters));
            parameters.to_config_json();
            for directive in ENGINES.iter().flat_map(|engine| parameters.directives(*engine)) {
                let plain = |c: char| c == ' ' || (c.is_ascii_graphic() && !"\"'\\".contains(c));
                assert!(directive.value.chars().all(plain), "{directive:?}");
            }
        }
    }
});

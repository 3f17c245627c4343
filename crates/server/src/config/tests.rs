//! Precedence and errors of the settings.

use std::fs;

use ourkv_domain::network::HostAddresses;
use rstest::rstest;

use super::*;

const HOME: (&str, &str) = ("HOME", "/home/someone");

fn load(variables: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
    let mut all = vec![HOME];
    all.extend(variables);
    Config::load(None, Environment::of(&all), flags)
}

#[test]
fn has_defaults_for_everything() {
    let config = load(&[], Flags::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:2015");
    assert_eq!(config.data_dir, Path::new("/home/someone/.local/share/ourkv/data"));
    assert_eq!(config.engines.dir, Path::new("/home/someone/.local/share/ourkv/engines"));
    assert_eq!(config.database, Database::Embedded);
    assert_eq!(config.dns.listen, DnsListen::IfFree("127.0.0.1:2053".parse().unwrap()));
    assert_eq!(config.network.domain_suffix, "rds.aliyuncs.com");
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn follows_the_users_data_home() {
    let config = load(&[("XDG_DATA_HOME", "/srv/data")], Flags::default()).unwrap();
    assert_eq!(config.data_dir, Path::new("/srv/data/ourkv/data"));
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ourkv.toml");
    let text = "listen = \"127.0.0.1:1\"\ndata_dir = \"/from/file\"\n\
                [log]\nlevel = \"warn\"\nformat = \"json\"\n[limits]\nconnections = 7\n";
    fs::write(&file, text).unwrap();
    let environment = Environment::of(&[
        HOME,
        ("OURKV_LISTEN", "127.0.0.1:2"),
        ("OURKV_DATA_DIR", "/from/variable"),
        ("OURKV_LOG_LEVEL", "debug"),
    ]);
    let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };

    let config = Config::load(Some(&file), environment, flags).unwrap();
    assert_eq!(config.listen.port(), 3, "flag");
    assert_eq!(config.data_dir, Path::new("/from/variable"), "variable");
    assert_eq!(config.log.level, "debug", "variable inside a section");
    assert_eq!(config.log.format, LogFormat::Json, "file, beside a variable of its section");
    assert_eq!(config.limits.connections.get(), 7, "file");
    assert_eq!(config.dns, Dns::default(), "default");
}

#[test]
fn addresses_of_the_machine_must_be_asked_for() {
    let serves = |variables: &[_], flags| load(variables, flags).unwrap().network.host_addresses;
    assert_eq!(serves(&[], Flags::default()), HostAddresses::LoopbackOnly);
    let variable = [("OURKV_NETWORK_HOST_ADDRESSES", "true")];
    assert_eq!(serves(&variable, Flags::default()), HostAddresses::Any);
    let off = [("OURKV_NETWORK_HOST_ADDRESSES", "false")];
    assert_eq!(serves(&off, Flags::default()), HostAddresses::LoopbackOnly);
    let flag = Flags { host_addresses: true, ..Flags::default() };
    assert_eq!(serves(&off, flag), HostAddresses::Any, "a flag beats a variable");
}

#[test]
fn engines_are_confined_as_far_as_possible_unless_told_otherwise() {
    let engines = |variables: &[_], flags| load(variables, flags).map(|config| config.engines);
    let usual = engines(&[], Flags::default()).unwrap();
    assert_eq!((usual.confine, usual.first_user), (Confine::Auto, 2_013_265_920));
    let variables = [("OURKV_ENGINES_CONFINE", "off"), ("OURKV_ENGINES_FIRST_USER", "200000")];
    let told = engines(&variables, Flags::default()).unwrap();
    assert_eq!((told.confine, told.first_user), (Confine::Off, 200_000));
    let flag = Flags { confine: Some(Confine::Require), ..Flags::default() };
    assert_eq!(engines(&variables, flag).unwrap().confine, Confine::Require);
    for wrong in [("OURKV_ENGINES_FIRST_USER", "0"), ("OURKV_ENGINES_FIRST_USER", "2147483647")] {
        let error = engines(&[wrong], Flags::default()).unwrap_err().to_string();
        assert!(error.contains(wrong.0) && error.contains("user id from 1"), "{error}");
    }
    engines(&[("OURKV_ENGINES_CONFINE", "perhaps")], Flags::default()).unwrap_err();
}

#[test]
fn numbers_come_from_variables_only_where_numbers_are_meant() {
    let variables = [("OURKV_LIMITS_CONNECTIONS", "5"), ("OURKV_DATA_DIR", "2015")];
    let config = load(&variables, Flags::default()).unwrap();
    assert_eq!(config.limits.connections.get(), 5);
    assert_eq!(config.data_dir, Path::new("2015"));
}

#[test]
fn backups_are_kept_proven_and_taken_before_the_end_unless_told_otherwise() {
    let backup = load(&[], Flags::default()).unwrap().backup;
    let folder = "/home/someone/.local/share/ourkv/data/backups";
    assert_eq!(backup.place, BackupPlace::Folder(folder.into()));
    assert!(backup.last && backup.prove);
    assert_eq!((backup.per_day, backup.saves.get(), backup.link_seconds.get()), (20, 2, 3600));

    let variables = [
        ("OURKV_BACKUP_FINAL", "true"),
        ("OURKV_BACKUP_PROVE", "false"),
        ("OURKV_BACKUP_SAVES", "5"),
        ("OURKV_BACKUP_URL", "/mnt/variable"),
    ];
    let flags = Flags {
        no_final_backup: true,
        backup_url: Some("file:///mnt/flag".into()),
        ..Flags::default()
    };
    let backup = load(&variables, flags).unwrap().backup;
    assert_eq!(backup.place, BackupPlace::Folder("/mnt/flag".into()));
    assert!(!backup.last && !backup.prove);
    assert_eq!(backup.saves.get(), 5);
}

fn bucket(variables: &[(&str, &str)]) -> Bucket {
    match load(variables, Flags::default()).unwrap().backup.place {
        BackupPlace::Bucket(bucket) => bucket,
        BackupPlace::Folder(folder) => panic!("{}", folder.display()),
    }
}

#[test]
fn a_bucket_has_one_whole_key_and_never_prints_it() {
    let url = ("OURKV_BACKUP_URL", "s3://our-backups/kv/");
    let aws = [
        url,
        ("AWS_ACCESS_KEY_ID", "AKIAvariable"),
        ("AWS_SECRET_ACCESS_KEY", "hidden-word"),
        ("AWS_SESSION_TOKEN", "hidden-token"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
    ];
    let found = bucket(&aws);
    assert_eq!(found.url, "s3://our-backups/kv");
    assert_eq!(found.region.as_deref(), Some("eu-west-1"));
    assert_eq!(found.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert!(!format!("{found:?}").contains("hidden"));
    assert_eq!(found.key.unwrap().secret.expose(), "hidden-word");

    let own = [
        ("OURKV_BACKUP_ACCESS_KEY_ID", "AKIAown"),
        ("OURKV_BACKUP_SECRET_ACCESS_KEY", "own-word"),
        ("OURKV_BACKUP_REGION", "us-east-1"),
    ];
    let found = bucket(&[&aws[..], &own[..]].concat());
    let key = found.key.unwrap();
    assert_eq!((key.id.expose(), key.secret.expose(), key.token), ("AKIAown", "own-word", None));
    assert_eq!(found.region.as_deref(), Some("us-east-1"));
    assert_eq!(bucket(&[url]).key, None);

    for half in [("AWS_ACCESS_KEY_ID", "AKIA"), ("OURKV_BACKUP_SECRET_ACCESS_KEY", "hidden-word")] {
        let error = load(&[url, half], Flags::default()).unwrap_err().to_string();
        assert!(error.contains("both") && !error.contains("hidden-word"), "{error}");
    }
}

#[test]
fn a_key_in_the_wrong_place_or_of_the_wrong_kind_is_in_no_error() {
    let url = ("OURKV_BACKUP_URL", "s3://AKIA:hidden-word@bucket/x");
    let error = load(&[url], Flags::default()).unwrap_err().to_string();
    assert!(error.contains("backup.url") && !error.contains("hidden"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ourkv.toml");
    fs::write(&file, "[backup]\nsecret_access_key = 73577357\n").unwrap();
    let error = Config::load(Some(&file), Environment::of(&[HOME]), Flags::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("backup.secret_access_key"), "{error}");
    assert!(!error.contains("73577357"), "{error}");
}

#[rstest]
#[case("OURKV_BACKUP_URL", "backups", "backup.url")]
#[case("OURKV_BACKUP_URL", "gs://bucket", "backup.url")]
#[case("OURKV_BACKUP_URL", "s3://bucket/../x", "backup.url")]
#[case("OURKV_BACKUP_ENDPOINT", "127.0.0.1:9000", "backup.endpoint")]
#[case("OURKV_BACKUP_FINAL", "perhaps", "backup.final")]
#[case("OURKV_BACKUP_SAVES", "0", "backup.saves")]
#[case("OURKV_BACKUP_PER_DAY", "-1", "backup.per_day")]
#[case("OURKV_BACKUP_LINK_SECONDS", "0", "backup.link_seconds")]
#[case("OURKV_BACKUP_PUBLIC_URL", "https://u:p@host", "backup.public_url")]
#[case("OURKV_LISTEN", "nowhere", "listen")]
#[case("OURKV_DNS_LISTEN", "no", "dns.listen")]
#[case("OURKV_NETWORK_ADDRESS_BLOCK", "10.0.0.0/16", "network.address_block")]
#[case("OURKV_NETWORK_DOMAIN_SUFFIX", "a b", "network.domain_suffix")]
#[case("OURKV_NETWORK_HOST_ADDRESSES", "maybe", "network.host_addresses")]
#[case("OURKV_LIMITS_CONNECTIONS", "0", "limits.connections")]
#[case("OURKV_LOG_FORMAT", "xml", "log.format")]
#[case("OURKV_LOG_LEVEL", "ourkv=loud", "log.level")]
fn an_error_names_the_key_and_the_variable(
    #[case] variable: &str,
    #[case] value: &str,
    #[case] key: &str,
) {
    let error = load(&[(variable, value)], Flags::default()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{key} (from {variable}): ")), "{error}");
}

#[test]
fn an_error_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ourkv.toml");
    fs::write(&file, "[dns]\nlisten = \"x\"\n").unwrap();
    let error = Config::load(Some(&file), Environment::of(&[HOME]), Flags::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("dns.listen") && error.contains("ourkv.toml"), "{error}");

    fs::write(&file, "[dns]\nlisen = \"off\"\n").unwrap();
    let error = Config::load(Some(&file), Environment::of(&[HOME]), Flags::default());
    assert!(error.unwrap_err().to_string().contains("lisen"));

    let missing = dir.path().join("missing.toml");
    let error = Config::load(Some(&missing), Environment::of(&[HOME]), Flags::default());
    assert!(matches!(error, Err(ConfigError::NoFile(path)) if path == missing));
}

#[test]
fn kubernetes_is_refused_with_what_to_do() {
    let flags = Flags { substrate: Some("kubernetes".into()), ..Flags::default() };
    let error = load(&[], flags).unwrap_err().to_string();
    assert!(error.contains("the command line") && error.contains("use `local`"), "{error}");
}

#[test]
fn a_database_url_is_in_no_error_and_no_debug_text() {
    let url = "mysql://user:hidden-word@host/db";
    let error = load(&[("OURKV_DATABASE", url)], Flags::default()).unwrap_err().to_string();
    assert!(!error.contains("hidden-word"), "{error}");

    let url = "postgres://user:hidden-word@host/db";
    let config = load(&[("OURKV_DATABASE", url)], Flags::default()).unwrap();
    assert!(matches!(&config.database, Database::Postgres(secret) if secret.expose() == url));
    assert!(!format!("{config:?}").contains("hidden-word"));
}

#[test]
fn without_a_home_a_directory_must_be_named() {
    let error = Config::load(None, Environment::of(&[]), Flags::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Homeless("data_dir")), "{error}");
}

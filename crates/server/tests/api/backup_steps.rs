//! Every step of backups, restores, clones and deletions, broken in every way: by errors, by kills,
//! and by kills while it hangs. What is whole stays, nothing else does, and the next one works.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::backup_faults::only_whole_ones_are_listed;
use crate::common::{Ourkv, PASSWORD, PATIENCE};
use crate::failpoints::points;
use crate::shelf::{backup_id, text};
use crate::tenant::{content, engines, fill, id, login};

const STANDALONE: (&str, &str) = ("InstanceClass", "redis.basic.small.default");
const PAIR: (&str, &str) = ("InstanceClass", "redis.master.small.default");

/// More backups by hand than any test takes.
const UNLIMITED: (&str, &str) = ("OURKV_BACKUP_PER_DAY", "100000");

/// How long a held step is watched before the process is killed around it.
const HOLD: Duration = Duration::from_millis(300);

/// Proofs would only take time.
const UNPROVEN: (&str, &str) = ("OURKV_BACKUP_PROVE", "false");

/// Steps that no restore of a living instance takes, by the beginnings of their names.
const ELSEWHERE: [&str; 9] = [
    "backup_",
    "action",
    "prepare",
    "give_up_restore",
    "record_trouble",
    "record_inactive",
    "discard",
    "remove",
    "forget",
];
/// Steps that one engine alone does not take.
const OF_PAIRS: [&str; 3] = ["start_second", "stop_second", "link"];

/// How a step is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Error,
    Abort,
    Pause,
}

impl Break {
    fn at(self, point: &str) -> String {
        let action = match self {
            Self::Error => "1*return(error)->off",
            Self::Abort => "return(abort)",
            Self::Pause => "pause",
        };
        format!("{point}={action}")
    }
}

fn begins_with(point: &str, names: &[&str]) -> bool {
    names.iter().any(|name| point.starts_with(name))
}

/// Waits until `done`, the process died, or it is clear that a step is held. Whether it died;
/// what is done may be so before the step ends that it dies after.
fn reach(server: &mut Ourkv, how: Break, mut done: impl FnMut(&Ourkv) -> Option<bool>) -> bool {
    let (began, mut ended) = (Instant::now(), None);
    while server.runs() {
        if ended.is_none() && done(server) == Some(true) {
            ended = Some(Instant::now());
        }
        let over = match how {
            Break::Error => ended.is_some(),
            Break::Abort => ended.is_some_and(|ended| ended.elapsed() > PATIENCE / 6),
            Break::Pause => ended.is_some() || began.elapsed() > HOLD,
        };
        if over {
            return false;
        }
        assert!(began.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

#[rstest]
#[case(Break::Error, STANDALONE)]
#[case(Break::Abort, STANDALONE)]
#[case(Break::Abort, PAIR)]
#[case(Break::Pause, PAIR)]
fn of_a_backup_nothing_partial_stays(#[case] how: Break, #[case] class: (&str, &str)) {
    let points: Vec<_> =
        points().into_iter().filter(|point| point.starts_with("backup_")).collect();
    assert!(points.len() >= 16, "{points:?}");
    let mut server = Ourkv::start_with(&[], &[UNLIMITED]);
    let created = server.normal(&[class]);
    fill(&mut login(&created), "kept");
    let before = content(&mut login(&created));
    for point in &points {
        let set = how.at(point);
        // What follows a failure takes one.
        let fails = begins_with(point, &["backup_clear", "backup_fail"]);
        let set = if fails { format!("backup_save.after=return(error);{set}") } else { set };
        server.restart(&[UNLIMITED, ("FAILPOINTS", &set)]);
        let died = live_and_die(&mut server, how, id(&created));
        assert_eq!(died, how == Break::Abort, "{set}: is it passed?");
        server.restart(&[UNLIMITED]);
        only_whole_ones_are_listed(&server, id(&created), &set);
    }
    server.back_up(id(&created));
    assert_eq!(content(&mut login(&created)), before);
}

/// A backup that is asked for, taken, proven and given back; whether the process died on the
/// way.
fn live_and_die(server: &mut Ourkv, how: Break, instance: &str) -> bool {
    let ids = |rows: &[Value]| rows.iter().map(|row| text(&row["id"])).collect();
    let before: BTreeSet<String> = ids(&server.operators_backups());
    let mut asked = false;
    reach(server, how, |server| {
        if !asked {
            let params = [("InstanceId", instance)];
            asked = server.client().try_call("CreateBackup", &params).ok()?.status == 200;
            return None;
        }
        let rows = server.operators_backups();
        let Some(row) = rows.iter().find(|row| !before.contains(&text(&row["id"]))) else {
            return Some(true);
        };
        if row["status"] == "Success" && row["verified"].is_string() {
            let number = text(&row["id"]);
            let params = [("InstanceId", instance), ("BackupId", &*number)];
            server.client().try_call("DeleteBackup", &params).ok()?;
        }
        Some(row["status"] == "Failed")
    })
}

#[rstest]
#[case(Break::Error, PAIR)]
#[case(Break::Abort, STANDALONE)]
#[case(Break::Abort, PAIR)]
#[case(Break::Pause, STANDALONE)]
fn of_a_restore_all_or_nothing_stays(#[case] how: Break, #[case] class: (&str, &str)) {
    let mut server = Ourkv::start_with(&[], &[UNPROVEN]);
    let created = server.normal(&[class]);
    fill(&mut login(&created), "old");
    let old = content(&mut login(&created));
    let backup = backup_id(&server.back_up(id(&created)));
    let is_passed = |point: &String| {
        let second = class == STANDALONE && begins_with(point, &OF_PAIRS);
        !begins_with(point, &ELSEWHERE) && !second
    };
    for point in points().into_iter().filter(is_passed) {
        let why = format!("{point} {how:?}");
        fill(&mut login(&created), "new");
        let new = content(&mut login(&created));
        server.restart(&[UNPROVEN, ("FAILPOINTS", &how.at(&point))]);
        let died = restore_and_die(&mut server, how, id(&created), &backup);
        assert_eq!(died, how == Break::Abort, "{why}: is it passed?");
        server.restart(&[UNPROVEN]);
        server.wait_for(id(&created), "Normal");
        let found = content(&mut login(&created));
        assert!(found == old || found == new, "{why}: {found:?}");
        // What was acknowledged is done by then.
        assert!(found == old || how != Break::Error, "{why}: the restore was lost");
        server.until_tidy(&why);
    }
    server.restore(id(&created), &backup);
    assert_eq!(content(&mut login(&created)), old);
}

/// A restore that is asked for and done; whether the process died on the way.
fn restore_and_die(server: &mut Ourkv, how: Break, instance: &str, backup: &str) -> bool {
    let mut asked = false;
    reach(server, how, |server| {
        if !asked {
            let params = [("InstanceId", instance), ("BackupId", backup)];
            asked = server.client().try_call("RestoreInstance", &params).ok()?.status == 200;
            return None;
        }
        let params = [("InstanceId", instance)];
        let reply = server.client().try_call("DescribeInstanceAttribute", &params).ok()?;
        let attributes = &reply.json()["Instances"]["DBInstanceAttribute"][0];
        // Tidying comes after it.
        Some(attributes["InstanceStatus"] == "Normal" && server.leftovers().is_empty())
    })
}

#[rstest]
fn of_a_restore_that_is_refused_nothing_stays(
    #[values("give_up_restore.before", "give_up_restore.after", "tidy.before", "tidy.after")]
    point: &str,
) {
    let mut server = Ourkv::start_with(&[], &[UNPROVEN]);
    let created = server.normal(&[PAIR]);
    fill(&mut login(&created), "old");
    let backup = backup_id(&server.back_up(id(&created)));
    fill(&mut login(&created), "new");
    let (new, before) = (content(&mut login(&created)), engines(&server.dir));
    let object = server.object(id(&created), &backup);
    let mut sealed = std::fs::read(&object).unwrap();
    let last = sealed.len() - 1;
    sealed[last] ^= 1;
    std::fs::write(&object, sealed).unwrap();
    server.restart(&[UNPROVEN, ("FAILPOINTS", &Break::Abort.at(point))]);
    assert!(restore_and_die(&mut server, Break::Abort, id(&created), &backup));
    server.restart(&[UNPROVEN]);
    server.wait_for(id(&created), "Normal");
    server.until_tidy(point);
    assert_eq!(content(&mut login(&created)), new);
    assert_eq!(engines(&server.dir), before);
}

#[test]
fn a_clone_that_is_cut_off_comes_up_whole() {
    let mut server = Ourkv::start_with(&[], &[UNPROVEN]);
    let source = server.normal(&[STANDALONE]);
    let mut tenant = login(&source);
    fill(&mut tenant, "kept");
    let expected = content(&mut tenant);
    let backup = backup_id(&server.back_up(id(&source)));
    for point in points().into_iter().filter(|point| is_passed_by_clones(point)) {
        let clone = |server: &Ourkv| {
            let params = [
                ("RegionId", "cn-hongkong"),
                PAIR,
                ("Password", PASSWORD),
                ("SrcDBInstanceId", id(&source)),
                ("BackupId", &*backup),
                ("Token", &*point),
            ];
            server.client().try_call("CreateInstance", &params)
        };
        server.restart(&[UNPROVEN, ("FAILPOINTS", &Break::Abort.at(&point))]);
        let _ = clone(&server);
        server.until_it_ends();
        server.restart(&[UNPROVEN]);
        let created = clone(&server).unwrap().expect_ok();
        server.wait_for(id(&created), "Normal");
        assert_eq!(content(&mut login(&created)), expected, "{point}");
        server.until_tidy(&point);
    }
}

/// Whether an instance passes it that begins with the data of a backup.
fn is_passed_by_clones(point: &str) -> bool {
    let others = ["prove_staged", "stop_", "record_normal"];
    let created = !begins_with(point, &ELSEWHERE) || begins_with(point, &["prepare"]);
    created && !begins_with(point, &others)
}

#[test]
fn a_deletion_that_is_cut_off_leaves_a_whole_last_backup() {
    let steps = ["backup_begin", "backup_save", "backup_store", "backup_succeed"];
    let removal = ["discard", "remove", "forget"];
    let is_passed = |point: &String| begins_with(point, &[&steps[..], &removal].concat());
    let mut server = Ourkv::start();
    for point in points().into_iter().filter(is_passed) {
        let created = server.normal(&[PAIR]);
        fill(&mut login(&created), "kept");
        server.restart(&[("FAILPOINTS", &Break::Abort.at(&point))]);
        // The answer may be lost with the process.
        let _ = server.client().try_call("DeleteInstance", &[("InstanceId", id(&created))]);
        server.until_it_ends();
        server.restart(&[]);
        server.until(&format!("{point}: it is gone"), |server| server.engine_dirs().is_empty());
        let rows = server.operators_backups();
        let rows: Vec<_> = rows.iter().filter(|row| row["instance"] == id(&created)).collect();
        assert_eq!(rows.len(), 1, "{point}: {rows:?}");
        assert_eq!((&rows[0]["mode"], &rows[0]["keys"]), (&"Final".into(), &KEYS.into()));
        server.proven(&text(&rows[0]["id"]));
        server.until_tidy(&point);
    }
}

/// How many keys [`fill`] writes.
const KEYS: usize = 10;

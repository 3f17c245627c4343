use ourkv_domain::audit::AuditLine;

use crate::database::Database;
use crate::on_both;
use crate::sample::{access_key, account_id, at};

on_both!(keeps_lines, finds_lines_by_what_they_contain, forgets_what_is_old, takes_lines_later);

fn line(number: i64) -> AuditLine {
    AuditLine {
        request_id: format!("REQ-{number}"),
        at: at(number),
        action: "DeleteInstance".into(),
        account: Some(account_id()),
        access_key: Some(access_key().id),
        source: "127.0.0.1:5000".into(),
        parameters: format!("InstanceId=r-{number}_x"),
        status: 404,
        code: Some("InvalidInstanceId.NotFound".into()),
    }
}

fn keeps_lines(database: &Database) {
    let unknown = AuditLine { account: None, access_key: None, code: None, status: 200, ..line(2) };
    let expected = [unknown.clone(), line(1)];
    database.write(move |tx| {
        tx.append_audit(&line(1))?;
        tx.append_audit(&unknown)
    });
    assert_eq!(database.read(|tx| tx.audit_lines(10, None)), expected);
    assert_eq!(database.read(|tx| tx.audit_lines(1, None)).len(), 1);
}

fn finds_lines_by_what_they_contain(database: &Database) {
    // No database takes a NUL in a text everywhere; a stranger may send one.
    let odd = AuditLine { action: "a\0b".into(), ..line(12) };
    database.write(move |tx| {
        tx.append_audit(&line(1))?;
        tx.append_audit(&line(11))?;
        tx.append_audit(&odd)
    });
    let found = |text: &'static str| {
        let lines = database.read(move |tx| tx.audit_lines(10, Some(text)));
        lines.into_iter().map(|line| line.request_id).collect::<Vec<_>>()
    };
    assert_eq!(found("r-1_X"), ["REQ-1"]);
    assert_eq!(found("req-11"), ["REQ-11"]);
    assert_eq!(found("a\u{fffd}b"), ["REQ-12"]);
    assert_eq!(found("%"), Vec::<String>::new());
    assert_eq!(found("deleteinstance").len(), 2);
}

fn forgets_what_is_old(database: &Database) {
    database.write(|tx| (0..5).try_for_each(|number| tx.append_audit(&line(number))));
    assert_eq!(database.write(|tx| tx.forget_audit(at(3))), 3);
    assert_eq!(database.read(|tx| tx.audit_lines(10, None)), [line(4), line(3)]);
}

fn takes_lines_later(database: &Database) {
    for number in 0..100 {
        database.store.write_later(move |tx| tx.append_audit(&line(number)));
    }
    let store = database.store.clone();
    tokio::runtime::Runtime::new().unwrap().block_on(store.close());
    assert_eq!(database.read(|tx| tx.audit_lines(1000, None)).len(), 100);
    assert_eq!(database.store.dropped(), 0);
}

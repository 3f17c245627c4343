use proptest::prelude::*;

use super::*;

fn name(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn change(group: &str, mode: Mode, list: &str) -> Change {
    Change { group: name(group), attribute: None, mode, list: list.parse().unwrap() }
}

fn changed(changes: &[(&str, Mode, &str)]) -> Whitelist {
    let mut whitelist = Whitelist::default();
    for (group, mode, list) in changes {
        whitelist.change(change(group, *mode, list)).unwrap();
    }
    whitelist
}

fn shown(whitelist: &Whitelist) -> Vec<(String, String)> {
    let groups = whitelist.groups();
    groups.map(|(name, group)| (name.to_string(), group.list.to_string())).collect()
}

fn pair(name: &str, list: &str) -> (String, String) {
    (name.into(), list.into())
}

#[test]
fn begins_with_nobody_from_outside() {
    let whitelist = Whitelist::default();
    assert_eq!(shown(&whitelist), [pair("default", "127.0.0.1")]);
    assert!(whitelist.allows([127, 0, 0, 1].into()));
    for other in [[127, 0, 0, 2], [10, 0, 0, 1], [0, 0, 0, 0]] {
        assert!(!whitelist.allows(other.into()));
    }
    assert_eq!(whitelist.nets(), ["127.0.0.1/32".parse().unwrap()]);
}

#[test]
fn covers_appends_and_deletes() {
    use Mode::{Append, Cover, Delete};
    let whitelist = changed(&[
        ("default", Cover, "10.0.0.1,10.0.0.2"),
        ("default", Append, "10.0.0.2/32,10.0.0.3"),
        ("default", Delete, "10.0.0.1/32,10.9.9.9"),
    ]);
    assert_eq!(shown(&whitelist), [pair("default", "10.0.0.2,10.0.0.3")]);
    assert!(!whitelist.allows([127, 0, 0, 1].into()), "it was covered");
}

#[test]
fn groups_come_and_go_and_the_default_one_stays() {
    use Mode::{Append, Cover, Delete};
    let whitelist = changed(&[
        ("aa", Append, "10.0.0.1"),
        ("zz", Cover, "10.0.0.2"),
        ("aa", Delete, "10.0.0.1"),
        ("none", Delete, "10.0.0.1"),
        ("default", Delete, "127.0.0.1"),
    ]);
    assert_eq!(shown(&whitelist), [pair("default", "127.0.0.1"), pair("zz", "10.0.0.2")]);
}

#[test]
fn the_default_group_is_listed_first() {
    let whitelist = changed(&[("aa", Mode::Cover, "1.1.1.1"), ("zz", Mode::Cover, "2.2.2.2")]);
    let names: Vec<_> = shown(&whitelist).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["default", "aa", "zz"]);
}

#[test]
fn an_attribute_stays_until_it_is_changed() {
    let mut whitelist = Whitelist::default();
    let attribute = |whitelist: &Whitelist| {
        whitelist.groups().last().map(|(_, group)| group.attribute.to_string())
    };
    let marked = |text: &str| Change {
        attribute: Some(text.parse().unwrap()),
        ..change("own", Mode::Append, "1.1.1.1")
    };
    whitelist.change(marked("hidden")).unwrap();
    whitelist.change(change("own", Mode::Append, "2.2.2.2")).unwrap();
    assert_eq!(attribute(&whitelist).as_deref(), Some("hidden"));
    whitelist.change(marked("")).unwrap();
    assert_eq!(attribute(&whitelist).as_deref(), Some(""));
}

#[test]
fn has_a_limit_for_each_group_and_for_all() {
    let list = |from: usize, count: usize| {
        let entry = |n: usize| format!("10.{}.{}.{}", n / 65536, n / 256 % 256, n % 256);
        (from..from + count).map(entry).collect::<Vec<_>>().join(",")
    };
    let mut whitelist = Whitelist::default();
    whitelist.change(change("default", Mode::Cover, &list(0, MOST_ENTRIES))).unwrap();
    let before = whitelist.clone();
    assert_eq!(whitelist.change(change("default", Mode::Append, "1.1.1.1")), Err(TooMany));
    assert_eq!(whitelist, before, "what is refused changes nothing");
    whitelist.change(change("default", Mode::Append, &list(5, 9))).unwrap();
    for group in 1..MOST_IN_ALL / MOST_ENTRIES {
        let list = list(group * MOST_ENTRIES, MOST_ENTRIES);
        whitelist.change(change(&format!("group_{group}"), Mode::Cover, &list)).unwrap();
    }
    assert_eq!(whitelist.change(change("more", Mode::Cover, "1.1.1.1")), Err(TooMany));
    whitelist.change(change("default", Mode::Cover, "0.0.0.0/0")).unwrap();
    assert!(whitelist.allows([8, 8, 8, 8].into()));
    assert_eq!(whitelist.nets(), ["0.0.0.0/0".parse().unwrap()]);
}

/// Addresses that lie close to each other, so that entries meet.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    (prop::sample::select(vec![0, 10, 127, 255]), 0..4_u8, 0..2_u8, any::<u8>())
        .prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d))
}

fn entry() -> impl Strategy<Value = String> {
    (address(), prop::option::weighted(0.7, 1..=32_u8)).prop_map(|(address, prefix)| match prefix {
        Some(prefix) => format!("{address}/{prefix}"),
        None => address.to_string(),
    })
}

fn step() -> impl Strategy<Value = (String, Mode, Vec<String>)> {
    let group = prop::sample::select(vec!["default", "aa", "zz"]).prop_map(str::to_owned);
    let mode = prop::sample::select(vec![Mode::Cover, Mode::Append, Mode::Delete]);
    (group, mode, prop::collection::vec(entry(), 1..5))
}

/// The same rules once more, written for the reader: a text either lets an address in or not.
fn lets_in(entry: &str, client: Ipv4Addr) -> bool {
    let (address, prefix) = entry.split_once('/').unwrap_or((entry, "32"));
    let bits = |address: Ipv4Addr| format!("{:032b}", u32::from(address));
    let length: usize = prefix.parse().unwrap();
    bits(address.parse().unwrap())[..length] == bits(client)[..length]
}

proptest! {
    #[test]
    fn allows_whom_its_entries_let_in_and_nobody_else(
        steps in prop::collection::vec(step(), 0..8),
        clients in prop::collection::vec(address(), 1..40),
    ) {
        let mut whitelist = Whitelist::default();
        for (group, mode, list) in steps {
            // What stands twice in it is no list.
            if let Ok(list) = list.join(",").parse() {
                let change = Change { group: name(&group), attribute: None, mode, list };
                whitelist.change(change).unwrap();
            }
        }
        let texts: Vec<String> =
            shown(&whitelist).iter().flat_map(|(_, list)| list.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
        let nets = whitelist.nets();
        for client in clients {
            let expected = texts.iter().any(|text| lets_in(text, client));
            prop_assert_eq!(whitelist.allows(client), expected);
            let matching = nets.iter().filter(|net| net.contains(&client)).count();
            prop_assert_eq!(matching, usize::from(expected), "{:?}", nets);
        }
    }

    #[test]
    fn doing_a_change_twice_is_doing_it_once(steps in prop::collection::vec(step(), 1..6)) {
        let mut whitelist = Whitelist::default();
        for (group, mode, list) in steps {
            if let Ok(list) = list.join(",").parse::<AddressList>() {
                let change = Change { group: name(&group), attribute: None, mode, list };
                whitelist.change(change.clone()).unwrap();
                let once = whitelist.clone();
                whitelist.change(change).unwrap();
                // The default group begins anew when it is emptied, and can be emptied again.
                prop_assert_eq!(&whitelist, &once);
            }
        }
    }

    #[test]
    fn any_text_is_a_list_or_is_refused(text in "[0-9./,: a-f\\PC]{0,60}") {
        if let Ok(list) = text.parse::<AddressList>() {
            prop_assert_eq!(list.to_string(), text);
        }
    }
}

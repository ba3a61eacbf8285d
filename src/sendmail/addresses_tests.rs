use super::*;
use proptest::prelude::*;

fn read_all(list: &str) -> Vec<String> {
    parse(list.as_bytes())
        .into_iter()
        .map(|found| found.unwrap_or_else(|error| format!("NO {}", error.0)))
        .collect()
}

#[test]
fn lists() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        (" \r\n ", &[]),
        ("a@b.example", &["a@b.example"]),
        ("a@b, c@d", &["a@b", "c@d"]),
        ("a@b,c@d,", &["a@b", "c@d"]),
        (",, a@b , ,", &["a@b"]),
        ("root", &["root"]),
        ("root, a@b", &["root", "a@b"]),
        ("a@b; c@d", &["a@b", "c@d"]),
        // Display names, quoted or not, and what may be in them.
        ("Pete <pete@silly.example>", &["pete@silly.example"]),
        ("\"Joe Q. Public\" <john.q.public@example.com>", &["john.q.public@example.com"]),
        ("\"Doe, Jane\" <jane@x>, \"Roe, Joe\" <joe@y>", &["jane@x", "joe@y"]),
        ("\"<odd@name>, \\\"x\\\"\" <real@x>", &["real@x"]),
        ("Joe Q. Public <john@x>", &["john@x"]),
        ("O'Brien, Inc. <a@b>", &["O'Brien", "a@b"]),
        ("=?utf-8?Q?J=C3=BCrgen=2C_M?= <j@x>", &["j@x"]),
        ("Jürgen <j@x>", &["j@x"]),
        ("<a@b>", &["a@b"]),
        ("< a@b >", &["a@b"]),
        ("a@b (Name)", &["a@b"]),
        ("(Name) a@b", &["a@b"]),
        // Comments, nested and in every place.
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", &["pete@silly.test"]),
        ("a (one (two (three))) @ b . example (x, y)", &["a@b.example"]),
        ("(only a comment)", &[]),
        // Folding.
        ("a@b,\r\n\tc@d,\r\n (x)\r\n e@f", &["a@b", "c@d", "e@f"]),
        ("\"folded\r\n name\" <a@b>", &["a@b"]),
        // Groups.
        (
            "A Group:Ed Jones <ed@a.test>,joe@where.test,John <jdoe@one.test>;",
            &["ed@a.test", "joe@where.test", "jdoe@one.test"],
        ),
        ("Undisclosed recipients:;", &[]),
        ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", &[]),
        ("one:a@b;, two:c@d;, e@f", &["a@b", "c@d", "e@f"]),
        ("open: a@b, c@d", &["a@b", "c@d"]),
        ("\"quoted: name\": a@b;", &["a@b"]),
        // Routes (obs-route).
        ("<@machine.tld:mary@example.net>", &["mary@example.net"]),
        ("Mary <@a.test,@b.test:mary@example.net>, x@y", &["mary@example.net", "x@y"]),
        ("<@[192.0.2.1]:mary@example.net>", &["mary@example.net"]),
        // Blanks around dots (obs-local-part, obs-domain).
        ("john . q . public @ example . com", &["john.q.public@example.com"]),
        (
            "<boss@nil.test>, jdoe@one.test. , mary @ example.net",
            &["boss@nil.test", "jdoe@one.test.", "mary@example.net"],
        ),
        // Quoted local parts.
        ("\"john doe\"@x", &["\"john doe\"@x"]),
        ("\"john\"@x", &["john@x"]),
        ("\"john\".doe@x", &["john.doe@x"]),
        ("john.\"q p\".doe@x", &["\"john.q p.doe\"@x"]),
        ("\"a@b\"@c", &["\"a@b\"@c"]),
        ("\"a\\\"b\\\\\"@c", &["\"a\\\"b\\\\\"@c"]),
        ("\"\"@c", &["\"\"@c"]),
        ("\"a,b\"@c, d@e", &["\"a,b\"@c", "d@e"]),
        // Address literals, beyond ASCII, odd local parts.
        ("a@[192.0.2.1]", &["a@[192.0.2.1]"]),
        ("a@[IPv6:2001:db8::1], b@c", &["a@[IPv6:2001:db8::1]", "b@c"]),
        ("jürgen@bücher.example", &["jürgen@bücher.example"]),
        ("user+tag=x@y", &["user+tag=x@y"]),
        ("bounce-md_1.2.v1-3%x=y@z", &["bounce-md_1.2.v1-3%x=y@z"]),
        ("first..last@x", &["first..last@x"]),
        ("mailto:a@b", &["a@b"]),
    ];
    for (list, wanted) in cases {
        assert_eq!(read_all(list), *wanted, "{list}");
    }
}

#[test]
fn what_is_no_address_is_named_and_costs_no_other() {
    let cases: &[(&str, &[&str])] = &[
        ("two words, a@b", &["NO two words", "a@b"]),
        ("a@b c@d", &["NO a@b c@d"]),
        ("a@b@c, d@e", &["NO a@b@c", "d@e"]),
        ("Name <a@b", &["NO Name <a@b"]),
        ("Name <a@b> more, c@d", &["NO Name <a@b> more", "c@d"]),
        ("<a@b> <c@d>", &["NO <a@b> <c@d>"]),
        ("<>", &["NO <>"]),
        ("@b", &["NO @b"]),
        ("a@", &["NO a@"]),
        ("a\\b@c", &["NO a\\b@c"]),
        ("x@y, \"no end <a@b>, c@d", &["x@y", "NO \"no end <a@b>, c@d"]),
        ("x@y, (no end a@b", &["x@y", "NO (no end a@b"]),
        ("x@y, a@[1.2", &["x@y", "NO a@[1.2"]),
        ("<@a,@b>", &["NO <@a,@b>"]),
    ];
    for (list, wanted) in cases {
        assert_eq!(read_all(list), *wanted, "{list}");
    }
    let latin1 = parse(b"J\xfcrgen <j@x>, j\xfcrgen@x");
    assert_eq!(latin1[0].as_deref(), Ok("j@x"));
    assert!(latin1[1].is_err());
    assert_eq!(parse(b"a\x1b[2J b")[0].as_ref().unwrap_err().0.chars().filter(|c| c.is_control()).count(), 0);
}

#[test]
fn names_get_a_domain_and_nothing_else_changes() {
    let cases = [
        (" root (Cron Daemon)\r\n", " root@x (Cron Daemon)\r\n"),
        (" root\r\n", " root@x\r\n"),
        ("", ""),
        (" a@b, root,\r\n \"Q, R\" <ops> , c@d", " a@b, root@x,\r\n \"Q, R\" <ops@x> , c@d"),
        (" Group: one, two@y;, <three>", " Group: one@x, two@y;, <three@x>"),
        (" \"john doe\"", " \"john doe\"@x"),
        (" two words, <>, root", " two words, <>, root@x"),
        (" undisclosed-recipients:;", " undisclosed-recipients:;"),
        (" root, \"no end", " root@x, \"no end"),
    ];
    for (list, wanted) in cases {
        assert_eq!(String::from_utf8_lossy(&completed(list.as_bytes(), "x")), wanted, "{list}");
    }
}

proptest! {
    #![proptest_config(crate::smoke())]

    #[test]
    fn completing_changes_nothing_that_is_complete(list in "[a@b<>(),;:.\"\\[\\] \\\\\r\n]{0,40}") {
        let once = completed(list.as_bytes(), "x");
        prop_assert_eq!(completed(&once, "x"), once.clone());
        let names = |list: &[u8]| read(list).into_iter().flatten().filter(|a| a.open.is_some()).count();
        prop_assert_eq!(names(&once), 0);
    }

    #[test]
    fn the_parser_is_total(list in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&list);
    }

    #[test]
    fn the_parser_is_total_on_what_looks_like_addresses(list in "[a@b<>(),;:.\"\\[\\] \\\\\r\n]{0,40}") {
        let _ = parse(list.as_bytes());
    }

    #[test]
    fn an_address_is_found_behind_any_name(name in "[a-zA-Zäö ,.;:<>@()\\[\\]]{0,20}", local in "[a-z][a-z.+]{0,8}") {
        let list = format!("x@y, \"{name}\" <{local}@d.example>, z@y");
        prop_assert_eq!(read_all(&list), ["x@y".to_owned(), format!("{local}@d.example"), "z@y".to_owned()]);
    }
}

use super::*;

#[track_caller]
fn check(format: &str, good: &[&str], bad: &[&str]) {
    assert!(known(Kind::String, format), "{format} is not known");
    for text in good {
        assert!(fits(format, text), "{format} should take {text:?}");
    }
    for text in bad {
        assert!(!fits(format, text), "{format} should refuse {text:?}");
    }
}

#[test]
fn texts_have_the_formats_that_upstream_sees() {
    check("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f", "z07f1f77bcf86cd799439011"]);
    check("uri", &["http://a.b/c?d", "/a", "urn:x:y"], &["", "a", "http://a b", "http://a:x/", "/%zz"]);
    check("email", &["a@b.c", "Ann <a@b>"], &["a", "a@", "@b", "a b@c"]);
    check("hostname", &["a.example.com", "a"], &["", "a..b", "-a.com"]);
    check("ipv4", &["10.0.0.1", "010.0.0.1"], &["10.0.0", "256.0.0.1", "::1"]);
    check("ipv6", &["::1", "::ffff:1.2.3.4"], &["1.2.3.4", ":::"]);
    check("cidr", &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33", "x/1"]);
    check("mac", &["00:11:22:aa:bb:cc", "0011.22aa.bbcc", "00-11-22-aa-bb-cc"], &["00:11", "001122aabbcc"]);
    check("uuid", &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11", "6F1B8E2E1C6B4A0F9B0A2F7B6D9B1C11"], &["x", ""]);
    check("uuid3", &["6f1b8e2e-1c6b-3a0f-0b0a-2f7b6d9b1c11"], &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11"]);
    check("uuid4", &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11"], &["6f1b8e2e-1c6b-4a0f-0b0a-2f7b6d9b1c11"]);
    check("uuid5", &["6f1b8e2e-1c6b-5a0f-9b0a-2f7b6d9b1c11"], &["6f1b8e2e-1c6b-4a0f-9b0a-2f7b6d9b1c11"]);
    check("isbn", &["0321751043", "978-0321751041"], &["0321751044", "978"]);
    check("isbn10", &["0-321-75104-3"], &["978-0321751041"]);
    check("isbn13", &["978-0321751041"], &["0321751043"]);
    check("creditcard", &["4111-1111-1111-1111"], &["4111-1111-1111-1112", "1"]);
    check("ssn", &["111-11-1111", "111 11 1111"], &["111-11"]);
    check("hexcolor", &["#FFFFFF", "abc"], &["#ff", "#ggg"]);
    check("rgbcolor", &["rgb(255, 0, 1)"], &["rgb(256,0,1)", "rgb(01,0,1)", "255,0,1"]);
    check("byte", &["aGk=", "aGVs"], &["", "a", "aGk", "a==="]);
    check("password", &["", "anything"], &[]);
    check("date", &["2024-02-29"], &["2023-02-29", "2024-1-1", "x"]);
    check(
        "date-time",
        &["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+01:00"],
        &["x", "2014-12-15", "2014-12-15T24:00:00Z"],
    );
    check("duration", &["22 ns", "1h30m", "3 weeks", "1.5s"], &["", "1", "h", "1 parsec"]);
    check("quantity", &["10Gi", "1"], &["x"]);
    check("k8s-short-name", &["a-b"], &["a.b", "A"]);
    check("k8s-long-name", &["a.b"], &["a_b"]);
}

#[test]
fn a_format_that_nobody_knows_says_nothing() {
    assert!(!known(Kind::String, "colour") && fits("colour", "x"));
    assert!(known(Kind::Integer, "int32") && !known(Kind::String, "int32") && !known(Kind::Object, "date"));
}

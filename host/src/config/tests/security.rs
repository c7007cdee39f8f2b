//! What the file says of credentials, strangers and blocks.

use intertrunk_sip::auth::Algorithm;

use super::*;

/// A file with a password of its own, removed in the end; and a configuration beside it.
struct Password(PathBuf);

impl Password {
    fn new(name: &str, text: &str) -> Password {
        let unique = format!("intertrunk-password-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::write(&path, text).unwrap();
        Password(path)
    }

    fn key(&self) -> String {
        format!("password_file = \"{}\"", self.0.display())
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// S14, T11: what a trunk's peers show us and what we show them, with passwords that stand elsewhere.
#[test]
fn credentials_are_read() {
    let file = Password::new("read", "open sesame\n");
    let key = file.key();
    let keys = format!(
        "auth = {{ realm = \"here\", user = \"pbx\", {key} }}\n\
         credentials = {{ user = \"us\", {key}, realm = \"there\" }}\n"
    );
    let built = read(&with_trunk(&keys)).unwrap();
    let trunk = &built.snapshot.trunks[0];
    let (door, login) = (trunk.door.as_ref().unwrap(), trunk.login.as_ref().unwrap());
    assert_eq!((&*door.realm, &*door.user, door.code), ("here", "pbx", 401));
    assert_eq!(*door.algorithms, [Algorithm::Sha256, Algorithm::Md5]);
    assert!(!door.anywhere);
    assert_eq!(
        (&*login.user, login.realm.as_deref()),
        ("us", Some("there"))
    );
    let sesame = intertrunk_proto::auth::Secret::new("open sesame");
    assert!(door.password == sesame && login.password == sesame);
    assert!(!format!("{built:?}").contains("sesame"));
    assert!(built.warnings.is_empty(), "{:?}", built.warnings);
}

/// S14: what cannot work is said, with the place.
#[test]
fn credentials_that_cannot_work_are_faults() {
    let (file, empty) = (Password::new("good", "x"), Password::new("empty", "\n"));
    let auth = |keys: &str| {
        with_trunk(&format!(
            "auth = {{ realm = \"r\", user = \"u\", {keys} }}\n"
        ))
    };
    for (keys, says) in [
        (empty.key(), "the password is empty"),
        (
            "password_file = \"gone.password\"".to_owned(),
            "gone.password cannot be read",
        ),
        (
            "password_env = \"INTERTRUNK_NOT_SET\"".to_owned(),
            "no text named INTERTRUNK_NOT_SET",
        ),
        (format!("{}, code = 500", file.key()), "401 to 407"),
        (format!("{}, code = 402", file.key()), "is no challenge"),
        (
            format!("{}, algorithms = [\"sha-1\"]", file.key()),
            "\"sha-1\" is no algorithm",
        ),
        (
            format!("{}, password_env = \"X\"", file.key()),
            "one password too many",
        ),
        (format!("{}, nonce = \"1m\"", file.key()), "unknown key"),
    ] {
        let fault = fault_of(&auth(&keys));
        assert!(fault.contains(says), "{fault}");
        assert!(fault.contains("trunk[0].auth"), "{fault}");
    }
    let none = fault_of(&with_trunk("credentials = { user = \"u\" }\n"));
    assert!(
        none.contains("trunk[0].credentials.password_file: missing"),
        "{none}"
    );
    let quoted = with_trunk(&format!(
        "credentials = {{ user = 'a\"b', {} }}\n",
        file.key()
    ));
    assert!(fault_of(&quoted).contains("between quotes"));
}

/// S14: trunks that are known by what they show must not look alike.
#[test]
fn doors_for_anybody_differ() {
    let file = Password::new("anywhere", "x");
    let two = |realm: &str, user: &str, more: &str| {
        let door = |realm: &str, user: &str, more: &str| {
            let key = file.key();
            format!("auth = {{ realm = \"{realm}\", user = \"{user}\", {key}, {more} }}\n")
        };
        let second = "[[trunk]]\nname = \"b\"\npeers = [\"sip:127.0.0.3\"]\n";
        let (first, other) = (door("r", "u", "anywhere = true"), door(realm, user, more));
        with_trunk(&format!("{first}{second}{other}"))
    };
    assert!(read(&two("r", "v", "anywhere = true")).is_ok());
    assert!(read(&two("s", "u", "anywhere = false")).is_ok());
    let realm = fault_of(&two("s", "v", "anywhere = true"));
    assert!(realm.contains("another realm than \"a\""), "{realm}");
    let user = fault_of(&two("r", "u", "anywhere = true"));
    assert!(user.contains("the same user as \"a\""), "{user}");
}

/// T11: where we register, and as whom; what is left out follows from the credentials and the peer.
#[test]
fn registrations_are_read() {
    let file = Password::new("register", "x");
    let with = |keys: &str| {
        let login = format!("credentials = {{ user = \"4711\", {} }}\n", file.key());
        with_trunk(&format!("{login}register = {{ {keys} }}\n"))
    };
    let usual = read(&with("required = true")).unwrap();
    let register = usual.snapshot.trunks[0].register.as_ref().unwrap();
    assert_eq!(
        (&*register.aor, &*register.contact_user),
        ("sip:4711@127.0.0.2", "4711")
    );
    assert_eq!((register.expires_s, register.required), (3600, true));
    assert_eq!(&*register.registrar.uri, "sip:127.0.0.2");
    let all = "aor = \"sip:me@home\", registrar = \"sip:reg.example.com\", expires = \"10m\", contact_user = \"edge\"";
    let built = read(&with(all)).unwrap();
    let register = built.snapshot.trunks[0].register.as_ref().unwrap();
    assert_eq!(
        (&*register.aor, &*register.contact_user),
        ("sip:me@home", "edge")
    );
    assert_eq!((register.expires_s, register.required), (600, false));
    assert_eq!(&*built.named()[0].question.host, "reg.example.com");
    let none = fault_of(&with_trunk("register = { expires = \"10m\" }\n"));
    assert!(none.contains("trunk[0].register.aor: missing"), "{none}");
    for (keys, says) in [
        ("aor = \"home\"", "no address of record"),
        ("contact_user = \"a@b\"", "no user of a URI"),
        ("expires = \"1s\"", "out of range"),
    ] {
        let fault = fault_of(&with(keys));
        assert!(fault.contains(says), "{fault}");
    }
}

/// T10, S3, S4, S5: the rules of the node have defaults, and every one can be changed.
#[test]
fn rules_of_the_node_are_read() {
    let usual = read(&with_trunk("")).unwrap();
    assert_eq!(usual.snapshot.security.unknown, None);
    assert_eq!(usual.blocking.threshold, Some(20));
    assert!(
        usual
            .snapshot
            .security
            .scanners
            .contains(&"friendly-scanner".to_owned())
    );
    let with = |section: &str| format!("{}{section}", with_trunk(""));
    let built = read(&with(
        "[security]\nunknown = \"404\"\nscanners = [\"evil\"]\nmax_message = \"8KiB\"\nmax_headers = 64\n\
         block = { threshold = 5, decay = \"1m\", time = \"10s\", max_time = \"1h\", sources = 50 }\n",
    ));
    let built = built.unwrap();
    let security = &built.snapshot.security;
    assert_eq!(security.unknown, Some(404));
    assert_eq!(*security.scanners, ["evil".to_owned()]);
    let message = &security.message;
    assert_eq!(
        (message.message_bytes_max, message.header_lines_max),
        (8192, 64)
    );
    let rules = built.blocking;
    assert_eq!((rules.threshold, rules.sources_max), (Some(5), 50));
    let times = [rules.decay, rules.first, rules.longest].map(|it| it.as_secs());
    assert_eq!(times, [60, 10, 3600]);
    let off = read(&with("[security]\nblock = { enabled = false }\n")).unwrap();
    assert_eq!(off.blocking.threshold, None);
    for (keys, says) in [
        ("unknown = \"200\"", "no answer to strangers"),
        ("max_message = \"1B\"", "write a size from 1024B to 65535B"),
        (
            "block = { time = \"2h\", max_time = \"1h\" }",
            "longer than `max_time`",
        ),
    ] {
        let fault = fault_of(&with(&format!("[security]\n{keys}\n")));
        assert!(fault.contains(says), "{fault}");
    }
}

/// S5: a list of methods, and what is wrong with one.
#[test]
fn methods_are_read() {
    use intertrunk_sip::Method;
    let methods = |keys: &str| {
        read(&with_trunk(keys)).unwrap().snapshot.trunks[0]
            .methods
            .clone()
    };
    assert_eq!(methods(""), None);
    let listed = methods("methods = [\"INVITE\", \"OPTIONS\", \"BYE\"]\n").unwrap();
    assert_eq!(*listed, [Method::Invite, Method::Options, Method::Bye]);
    for (wrong, says) in [
        (
            "methods = [\"INVIT\"]\n",
            "\"INVIT\" is no method that we take; write some of INVITE, ",
        ),
        (
            "methods = [\"REGISTER\"]\n",
            "\"REGISTER\" is no method that we take",
        ),
        (
            "methods = [\"INVITE\"]\noptions = { expect = \"2m\" }\n",
            "has no OPTIONS, which `options.expect` waits for; add \"OPTIONS\"",
        ),
        (
            "methods = [\"INVITE\"]\ntakes_refer = true\n",
            "has no NOTIFY, which `takes_refer` waits for",
        ),
    ] {
        let fault = fault_of(&with_trunk(wrong));
        assert!(fault.contains(says), "{wrong}: {fault}");
    }
}

use super::*;

fn load(flags: &Flags) -> Result<Settings, String> {
    Settings::load(flags).map_err(|error| error.to_string())
}

fn with_file(text: &str, flags: Flags) -> Result<Settings, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("gateway.toml");
    fs::write(&path, text).expect("writable");
    load(&Flags {
        config: Some(path),
        ..flags
    })
}

#[test]
fn defaults_stand_alone() {
    let settings = load(&Flags::default()).expect("valid");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8186");
    assert_eq!(settings.limits.max_body_bytes, 25 << 20);
    assert_eq!(settings.query_limits, QueryLimits::default());
    assert!(settings.influx.is_none() && settings.tokens.is_none());
}

#[test]
fn a_flag_outranks_the_file_and_the_file_the_default() {
    let flags = Flags {
        max_body_bytes: Some(ByteSize(5)),
        ..Flags::default()
    };
    let settings = with_file(
        "max_body_bytes = \"1MiB\"\njournal_max_bytes = 2097152",
        flags,
    )
    .expect("valid");
    assert_eq!(settings.limits.max_body_bytes, 5);
    assert_eq!(settings.journal_max_bytes, 2 << 20);
}

#[test]
fn what_is_wrong_is_named() {
    let flags = Flags::default;
    let url = |text: &str| Some(text.to_owned());
    for (outcome, needle) in [
        (with_file("data_dri = 1", flags()), "data_dri"),
        (
            with_file("max_body_bytes = \"many\"", flags()),
            "is no size",
        ),
        (
            load(&Flags {
                config: Some("/nowhere/at.toml".into()),
                ..flags()
            }),
            "/nowhere/at.toml",
        ),
        (
            load(&Flags {
                tokens_file: Some("/nowhere/tokens".into()),
                ..flags()
            }),
            "/nowhere/tokens",
        ),
        (
            load(&Flags {
                listen: "0.0.0.0:1".parse().ok(),
                ..flags()
            }),
            "HEADROOM_TOKENS_FILE",
        ),
        (
            load(&Flags {
                influx_org: Some("o".into()),
                ..flags()
            }),
            "HEADROOM_INFLUX_URL",
        ),
        (
            load(&Flags {
                influx_url: url("ftp://a"),
                ..flags()
            }),
            "http://HOST:PORT",
        ),
        (
            load(&Flags {
                influx_url: url("http://a"),
                influx_version: Some(4),
                ..flags()
            }),
            "HEADROOM_INFLUX_VERSION",
        ),
        (
            load(&Flags {
                journal_max_bytes: Some(ByteSize(1)),
                ..flags()
            }),
            "HEADROOM_JOURNAL_MAX_BYTES",
        ),
        (
            load(&Flags {
                store_memory_max_bytes: Some(ByteSize(1)),
                ..flags()
            }),
            "HEADROOM_STORE_MEMORY_MAX_BYTES is under 1MiB",
        ),
        (
            load(&Flags {
                query_max_concurrent: Some(0),
                ..flags()
            }),
            "HEADROOM_QUERY_MAX_CONCURRENT is 0; it can be 1 to 512",
        ),
        (
            load(&Flags {
                max_decoded_bytes: Some(ByteSize(1)),
                ..flags()
            }),
            "HEADROOM_MAX_DECODED_BYTES",
        ),
    ] {
        let message = outcome.expect_err(needle);
        assert!(message.contains(needle), "{message}");
    }
}

#[test]
fn what_is_wrong_with_a_guard_is_named() {
    let flags = |guard| Flags {
        guard,
        ..Flags::default()
    };
    for (guard, needle) in [
        (
            GuardFlags {
                series_max: Some(0),
                ..GuardFlags::default()
            },
            "HEADROOM_SERIES_MAX is 0",
        ),
        (
            GuardFlags {
                float_fields: Some("cpu".to_owned()),
                ..GuardFlags::default()
            },
            "HEADROOM_FLOAT_FIELDS: \"cpu\" names no fields",
        ),
        (
            GuardFlags {
                contract_file: Some("/nowhere/contract.toml".into()),
                ..GuardFlags::default()
            },
            "HEADROOM_CONTRACT_FILE: the contract /nowhere/contract.toml",
        ),
    ] {
        let message = load(&flags(guard)).expect_err(needle);
        assert!(message.contains(needle), "{message}");
    }
}

#[test]
fn what_is_wrong_with_a_destination_is_named() {
    let flags = Flags::default;
    for (outcome, needle) in [
        (
            with_file("[[destination]]\nurl = \"http://a\"", flags()),
            "has the name \"\"",
        ),
        (
            with_file(
                "[[destination]]\nname = \"influxdb\"\nurl = \"http://a\"",
                flags(),
            ),
            "one of its own",
        ),
        (
            with_file("[[destination]]\nname = \"new\"\nurl = \"a\"", flags()),
            "url of the destination \"new\" is no address",
        ),
        (
            with_file(
                "[[destination]]\nname = \"new\"\nurl = \"http://a\"\nin_flight = 0",
                flags(),
            ),
            "it can be 1 to 64",
        ),
        (
            with_file("[[destination]]\nnmae = \"new\"", flags()),
            "nmae",
        ),
    ] {
        let message = outcome.expect_err(needle);
        assert!(message.contains(needle), "{message}");
    }
}

#[test]
fn destinations_come_from_the_file() {
    let settings = with_file(
        "[[destination]]\nname = \"new\"\nurl = \"http://a:1/x\"\ntoken = \"very-secret\"\nversion = 2\nencoding = \"gzip\"\noptional = true\n\n[[destination]]\nname = \"old\"\nurl = \"https://b\"",
        Flags {
            influx_url: Some("http://c".to_owned()),
            ..Flags::default()
        },
    )
    .expect("valid");
    assert!(!format!("{settings:?}").contains("very-secret"));
    assert_eq!(settings.influx.expect("set").name, PRIMARY);
    let [new, old] = &settings.destinations[..] else {
        panic!("two tables")
    };
    assert_eq!(
        (new.version, new.encoding, new.optional),
        (Some(2), OwnEncoding::Gzip, true)
    );
    assert_eq!(
        (old.name.as_str(), old.in_flight, old.optional),
        ("old", 4, false)
    );
}

#[test]
fn a_secret_never_shows() {
    let flags = Flags {
        influx_token: Some("very-secret".into()),
        ..Flags::default()
    };
    assert!(!format!("{flags:?}").contains("very-secret"));
}

#[test]
fn every_flag_has_its_environment_variable() {
    use clap::CommandFactory;
    for argument in Cli::command()
        .get_arguments()
        .filter(|a| !matches!(a.get_id().as_str(), "help" | "version"))
    {
        let name = format!("HEADROOM_{}", argument.get_id().as_str().to_uppercase());
        assert_eq!(
            argument.get_env().and_then(|env| env.to_str()),
            Some(name.as_str())
        );
    }
}

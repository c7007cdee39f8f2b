//! `intertrunk import skype`: exports of Skype for Business and Teams become a configuration that
//! `intertrunk check` finds good, and a report of all that does not carry over.
//!
//! The exports in `skype` and `teams` are written by hand from the documented parameters.

use std::path::Path;

use serde_json::Value;

use crate::world::{Ran, World};

/// The export of a deployment, as Export-Clixml writes it.
fn skype(name: &str) -> World {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/skype");
    with_all(World::new(name), &folder)
}

fn teams(name: &str) -> World {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/teams");
    with_all(World::new(name), &folder)
}

fn with_all(mut world: World, folder: &Path) -> World {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("export/{}", path.file_name().unwrap().to_str().unwrap());
        world = world.with(&name, std::fs::read(&path).unwrap());
    }
    world
}

fn import(world: &World) -> Ran {
    world.line("import skype export -o new").ends(0)
}

fn text(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path(name)).unwrap()
}

#[track_caller]
fn has(text: &str, part: &str) {
    assert!(text.contains(part), "no {part:?} in:\n{text}");
}

/// O16: everything is written, and the report names what is not in it.
#[test]
fn an_export_becomes_a_configuration_and_a_report() {
    let world = skype("import-skype");
    let ran = import(&world);
    let ran = ran.says("29 objects of 6 files: 6 trunks, 7 routes, 23 number rules");
    for left_out in [
        "left out: routes.xml:153: CsVoiceRoute \"Doubled\", NumberPattern: `\\1` refers back to a group (back-reference)",
        "left out: routes.xml:178: CsVoiceRoute \"Nobody\", PstnUsages: it has no usage",
        "\"Service:PstnGateway:gw2.litwareinc.com\", \"TwicePrefixed\", OutboundTranslationRulesList: ^\\+1(\\d)\\1(\\d+)$: `\\1`",
        "left out: policies.xml:128: CsVoiceTestConfiguration \"OfAUser\", DialedNumber: ",
        "not known here: Microsoft.Rtc.Management.WritableConfig.Settings.Conferencing.BridgeConfiguration",
    ] {
        has(&ran.out, left_out);
    }
    let dial_plan = text(&world, "new/dialplan.toml");
    for part in [
        // Scopes: the most specific configuration holds whole.
        "[global]\nusages = []\n",
        "name = \"pbx1.litwareinc.com\"\nusages = [\"Internal\", \"Local\", \"Long Distance\"]\ncodes = []\n",
        "name = \"gw1.litwareinc.com\"\nusages = [\"Internal\"]\ncodes = [{ from = 486, to = 480 }, \
         { from = 486, cause = 34, to = 503 }, { from = \"any\", cause = 21, to = 403 }]\n",
        "trunk = \"gw1.litwareinc.com\"\ninherit = false\ncalled = [\n    { name = \"National\"",
        "strip_plus = true\n",
        "trunk = [\"pbx1.litwareinc.com\", \"gw1.litwareinc.com\", \"gw2.litwareinc.com\"]\ninherit = false\n\
         called = [\n    { name = \"Extension\", match = '^(\\d{4})$', to = \"+1425555$1\" },",
        // The exceptions of the pattern builder, and a pattern that is not anchored.
        "match = '^(\\+1425)\\d{7}$'\nexcept = [\"+1425900\", \"+1425976\"]\npriority = 2\n\
         to = [\"gw1.litwareinc.com\", \"gw2.litwareinc.com\"]\norder = \"round-robin\"\n",
        "match = '^\\+1\\d{10}$'\nexcept = \"+1900\"\n",
        "match = \"[0-9]{10}\"\n",
        "caller_id = \"+14255550199\"\n",
        // Group 1 and a 0, not group 10.
        "to = \"0${1}0\"",
        "start = \"+14255551000\"\nend = \"+14255551999\"\npriority = 1\n",
        "number = \"911\"\nmasks = [\"112\", \"999\"]\nusages = [\"Emergency\"]\n",
        "domain = \"fax.litwareinc.com\"\nto = \"10.0.1.31\"\n",
    ] {
        has(&dial_plan, part);
    }
    let config = text(&world, "new/intertrunk.toml");
    for part in [
        "name = \"pbx1.litwareinc.com\"\nkind = \"pbx\"\nsite = \"Redmond\"\n",
        "peers = [\"sip:10.0.1.11:5066;transport=tcp\"]",
        "session_timer = \"1800s\"\ntakes_refer = false\n\
         identity = { forward_pai = true, forward_history = true, trusted = true }\n",
        "name = \"gw1.litwareinc.com\"\nkind = \"pstn\"\n",
        "tags = [\"mobile\"]",
        "no_progress = \"3m\"",
        "options = { interval = \"60s\", timeout = \"10s\", down_after = 5, up_after = 1 }",
    ] {
        has(&config, part);
    }
    assert_eq!(
        text(&world, "new/import-report.md")
            .matches("\n## ")
            .count(),
        5
    );
}

/// O16: each parameter of a trunk configuration is carried over or has a reason.
#[test]
fn no_parameter_of_a_trunk_is_passed_over_in_silence() {
    let world = skype("import-parameters");
    let ran = world.line("import skype export -o new --json").ends(0);
    let report = ran.json();
    let findings = report["findings"].as_array().unwrap();
    let export = text(&world, "export/trunkconfig.xml");
    let (_, props) = export.split_once("<Props>").unwrap();
    let (props, _) = props.split_once("</Props>\n  </Obj>").unwrap();
    let names = props.lines().filter_map(|line| {
        let line = line.strip_prefix("      <")?;
        Some(line.split_once("N=\"")?.1.split_once('"')?.0)
    });
    let names: Vec<&str> = names.filter(|name| *name != "Identity").collect();
    assert_eq!(names.len(), 27, "{names:?}");
    for name in names {
        let said = |it: &&Value| {
            it["property"] == name && it["objects"].to_string().contains("CsTrunkConfiguration")
        };
        let finding = findings
            .iter()
            .find(said)
            .unwrap_or_else(|| panic!("nothing of {name}"));
        assert!(!finding["why"].as_str().unwrap().is_empty());
    }
    let why = |name: &str| {
        let finding = findings.iter().find(|it| it["property"] == name).unwrap();
        (finding["level"].clone(), finding["why"].as_str().unwrap())
    };
    assert_eq!(why("EnableFastFailoverTimer").0, "note");
    assert_eq!(why("RTCPActiveCalls").0, "not-applicable");
    assert_eq!(why("SRTPMode").0, "warning");
}

/// O16: mistakes of Microsoft's own examples are told.
#[test]
fn mistakes_of_the_documentation_are_told() {
    let ran = import(&skype("import-mistakes"));
    let ran = ran.says("\"LDCallingUS\", NormalizationRules: 12345678234 becomes +2345678234, a number of another country");
    ran.says("\"Default\", NormalizationRules: it is about numbers of exactly 11 digits");
    let ran = import(&teams("import-mistakes-teams"));
    let ran = ran.says(
        "\"StripPlus1\", OutboundPstnNumberTranslationRules: +12345678234 becomes 2345678234; ",
    );
    ran.says("becomes +1206552345 with 10 digits, and numbers of country code 1 have 11");
}

/// O16: what only people know is asked, and can be said.
#[test]
fn questions_can_be_answered() {
    let world = skype("import-questions");
    import(&world)
        .says("question: trunk \"pbx1.litwareinc.com\", kind: pbx is assumed, since its name says so; import again with --kind pbx1.litwareinc.com=pstn if it is not")
        .says("question: our address: it is not in the export; 127.0.0.1:5068 is assumed")
        .says("question: trunk \"gw3.litwareinc.com\", peers: it speaks TLS there")
        .says("warning: trunk \"gw2.litwareinc.com\", PstnUsages: they lead from the public network back to it, by gw1.litwareinc.com; the host refuses such calls (toll fraud)");
    has(
        &text(&world, "new/intertrunk.toml"),
        "# peers = [\"sip:10.0.1.23:5067;transport=tls\"]\n",
    );
    let ran = world.line(
        "import skype export -o other --kind PstnGateway:gw2.litwareinc.com=pbx --listen 192.0.2.5:5068 --tls a.pem,b.pem,c.pem",
    );
    let ran = ran.ends(0);
    assert!(
        !ran.out.contains("toll fraud") && !ran.out.contains("our address"),
        "{}",
        ran.out
    );
    let config = text(&world, "other/intertrunk.toml");
    has(&config, "name = \"gw2.litwareinc.com\"\nkind = \"pbx\"\n");
    has(&config, "address = \"192.0.2.5:5068\"");
    has(
        &config,
        "\npeers = [\"sip:10.0.1.23:5067;transport=tls\"]\n",
    );
    for wrong in [
        "--kind gw1",
        "--kind gw1=sbc",
        "--tls a.pem",
        "--listen here",
    ] {
        world
            .line(&format!("import skype export -o third {wrong}"))
            .ends(2);
    }
}

/// O16: Teams Direct Routing, in one JSON file with several exports.
#[test]
fn an_export_of_teams_is_read() {
    let world = teams("import-teams");
    let ran = import(&world).says("left out: teams.json: CsOnlinePSTNGateway \"sbc2.contoso.com\", Enabled: switched off there");
    has(&ran.out, "no call between trunks a route");
    let dial_plan = text(&world, "new/dialplan.toml");
    for part in [
        "trunk = \"sbc1.contoso.com\"\ninherit = false\ncalled = [\n    { name = \"AddPlus1\"",
        "calling = [\n    { name = \"StripPlus1\", match = '^\\+1(\\d{10})$', to = \"$1\" },",
        "name = \"Nuisance\"\ncaller = { match = '^\\+?1312\\d{7}$' }\nexempt = { match = '(?:^\\+?13125550100$)' }\n",
        "start = \"+1206555000\"\nend = \"+1206555999\"\npriority = 3\n",
        "name = \"Seattle\"\nusages = [\"Local\"]\n",
    ] {
        has(&dial_plan, part);
    }
    let config = text(&world, "new/intertrunk.toml");
    for part in [
        "no_progress = \"20s\"\n",
        "max_calls = 100\n",
        "failover_codes = [408, 503, 504]\n",
        "identity = { forward_pai = true, forward_history = true, trusted = true }\n",
    ] {
        has(&config, part);
    }
}

/// O16: the form does not matter: UTF-16, ConvertTo-Xml, JSON, rules printed in one text.
#[test]
fn every_form_of_an_export_is_read() {
    let route = r#"<?xml version="1.0" encoding="utf-8"?><Objects>
<Object Type="Microsoft.Rtc.Management.WritableConfig.Policy.Voice.Route"><Property Name="Identity" Type="System.String">All</Property>
<Property Name="Priority" Type="System.Int32">0</Property><Property Name="NumberPattern" Type="System.String">^\+</Property>
<Property Name="PstnUsages" Type="L"><Property Type="System.String">Any</Property></Property>
<Property Name="PstnGatewayList" Type="L"><Property Type="System.String">PstnGateway:10.0.3.2</Property></Property></Object></Objects>"#;
    let config = r#"[{"Identity":"Service:PstnGateway:10.0.3.1","PstnUsages":["Any"],"SRTPMode":2,"MaxEarlyDialogs":20,
"OutboundTranslationRulesList":[]},{"Identity":"Service:PstnGateway:10.0.3.2","PstnUsages":{"value":[],"Count":0},"SRTPMode":2,"MaxEarlyDialogs":20,
"OutboundTranslationRulesList":["@{Description=; Pattern=^\\+44(\\d+)$; Translation=0$1; Name=UK; Priority=1}"]}]"#;
    let wide: Vec<u8> = [0xfeff]
        .into_iter()
        .chain(config.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let world = World::new("import-forms")
        .with("export/a.xml", route)
        .with("export/b.json", wide);
    import(&world).says("3 objects of 2 files: 2 trunks, 1 routes, 1 number rules, 2 cases");
    let dial_plan = text(&world, "new/dialplan.toml");
    has(
        &dial_plan,
        "{ name = \"UK\", match = '^\\+44(\\d+)$', to = \"0$1\" },",
    );
    has(&dial_plan, "name = \"10.0.3.1\"\nusages = [\"Any\"]\n");
}

/// O16: bad input is told with its place, and writes nothing.
#[test]
fn bad_input_is_told_with_its_place() {
    let refused = |name: &str, file: &str, content: &[u8], told: &str| {
        let world =
            World::new(&format!("import-bad-{name}")).with(&format!("export/{file}"), content);
        world
            .line("import skype export -o new")
            .ends(2)
            .complains(told);
        assert!(!world.path("new").exists(), "{name}");
    };
    refused("tags", "a.xml", b"<Objs>\n<Obj></Objs>", "a.xml: no XML: ");
    refused("place", "a.xml", b"<Objs>\n<Obj></Objs>", "at 2:6");
    refused(
        "json",
        "a.json",
        b"[{\"Identity\": 1,}]",
        "at line 1 column 17",
    );
    refused(
        "bytes",
        "a.xml",
        b"\xc3\x28",
        "a.xml: neither UTF-8 nor UTF-16",
    );
    refused(
        "nothing",
        "a.json",
        b"[{\"Name\": \"x\"}]",
        "holds nothing of Skype for Business",
    );
    refused(
        "other",
        "notes.txt",
        b"",
        "holds no *.xml, *.clixml or *.json",
    );
    let entities =
        "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;&b;\">]><Objs><S>&c;</S></Objs>";
    refused("entities", "a.xml", entities.as_bytes(), "a.xml: no XML: ");
    let deep = "<Objs>".to_owned() + &"<Obj><LST>".repeat(100_000);
    refused(
        "deep",
        "a.xml",
        deep.as_bytes(),
        "line 1: elements lie more than 64 deep",
    );
    let brackets = "[".repeat(100_000);
    refused(
        "brackets",
        "a.json",
        brackets.as_bytes(),
        "recursion limit exceeded",
    );
    let world = skype("import-full").with("new/here", "");
    world
        .line("import skype export -o new")
        .ends(2)
        .complains("new is there already");
    world
        .line("import skype nowhere -o other")
        .ends(2)
        .complains("nowhere cannot be read");
}

/// O16: names and texts of an export never become anything but names and texts.
#[test]
fn hostile_names_stay_names() {
    let route = r#"[{"Identity":"a'\"\n[[route]]\nname = 1","Description":"x\n[global]\nusages = 7","Priority":0,
"NumberPattern":"^\\+'''\"$","PstnUsages":["it's \" one\n"],"PstnGatewayList":["PstnGateway:../..\u0000\"gw"]}]"#;
    let world = World::new("import-hostile").with("export/a.json", route);
    import(&world);
    for name in ["new/dialplan.toml", "new/intertrunk.toml"] {
        let read: toml::Table = text(&world, name).parse().unwrap();
        assert!(
            read.get("route")
                .is_none_or(|it| it.as_array().unwrap().len() == 1)
        );
    }
}

/// O16: what `docs/from-skype.md` tells people to do works as it is written, one step after the other.
#[test]
fn the_page_for_newcomers_works_as_it_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/from-skype.md");
    let page = std::fs::read_to_string(page).unwrap();
    let commands: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("intertrunk "))
        .collect();
    assert_eq!(commands.len(), 5, "{commands:#?}");
    let world = skype("import-page");
    for command in commands {
        world.line(command).ends(0);
    }
}

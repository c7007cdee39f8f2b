//! What is not loaded, and what its author is told. Odd components are made here from text.

use std::path::Path;

use intertrunk_policy::{Isolation, LoadFault, Options, Slot, WorldFault, module};
use wit_component::StringEncoding;
use wit_parser::Resolve;

use crate::guests::{ENGINE, EXTENSIONS, HOSTILE, STANDARD, options, world};

/// Stages `wasm`; it must be refused, and change nothing but `last_rejected`.
fn refusal(wasm: &[u8], config: &str, options: Options) -> LoadFault {
    let slot = Slot::new(&ENGINE, "main", options);
    slot.stage(&HOSTILE, "", &world(), &[]).unwrap();
    let live = slot.promote().unwrap();
    let fault = slot.stage(wasm, config, &world(), &[]).unwrap_err();
    let status = slot.status();
    assert_eq!(status.live, Some(live));
    assert_eq!(status.staged, None);
    let rejected = status.last_rejected.unwrap();
    assert_eq!(
        (rejected.size, rejected.reason),
        (wasm.len(), fault.to_string())
    );
    fault
}

fn world_faults(wasm: &[u8]) -> Vec<WorldFault> {
    match refusal(wasm, "", options()) {
        LoadFault::World(faults) => faults,
        other => panic!("{other}"),
    }
}

#[test]
fn other_bytes_are_told_apart() {
    for (bytes, told) in [
        (&b""[..], "the file is empty"),
        (b"\x7fELF\x02\x01", "never run"),
        (b" (module)", "WebAssembly text"),
        (
            b"INVITE sip:100@example.com SIP/2.0",
            "intertrunk policy build",
        ),
        (b"\0asm\x02\0\0\0", "version is unknown"),
    ] {
        let fault = refusal(bytes, "", options()).to_string();
        assert!(fault.starts_with("not a WebAssembly module: "), "{fault}");
        assert!(fault.contains(told), "{fault}");
    }
}

#[test]
fn truncated_or_broken_wasm_is_refused() {
    for length in [8, 9, EXTENSIONS.len() / 2, EXTENSIONS.len() - 1] {
        let fault = refusal(&EXTENSIONS[..length], "", options());
        assert!(
            matches!(fault, LoadFault::Compile(_) | LoadFault::World(_)),
            "{fault}"
        );
    }
}

#[test]
fn a_core_module_without_component_type_is_refused() {
    let fault = refusal(&wat::parse_str("(module)").unwrap(), "", options());
    assert!(matches!(fault, LoadFault::NoComponentType), "{fault}");
}

#[test]
fn a_core_module_with_imports_of_its_own_is_refused() {
    let text = core("(import \"env\" \"getrandom\" (func))", "", 0);
    let fault = refusal(&embed(&text, &contract()), "", options());
    assert!(matches!(fault, LoadFault::Componentize(_)), "{fault}");
    assert!(fault.to_string().contains("env"), "{fault}");
}

#[test]
fn a_component_of_another_world_is_told_what_is_foreign_and_what_is_missing() {
    let text = "(component
        (import \"wasi:cli/environment@0.2.0\" (instance))
        (import \"acme:billing/ledger\" (instance)))";
    let faults = world_faults(&wat::parse_str(text).unwrap());
    assert_eq!(
        faults,
        [
            WorldFault::ForeignImport("wasi:cli/environment@0.2.0".to_owned()),
            WorldFault::ForeignImport("acme:billing/ledger".to_owned()),
            WorldFault::MissingExport("intertrunk:policy/policy-api@0.1.0".to_owned()),
        ]
    );
    assert!(faults[0].to_string().contains("WASI"));
}

#[test]
fn another_version_of_the_contract_is_told() {
    let text = "(component
        (instance $api) (export \"intertrunk:policy/policy-api@0.2.0\" (instance $api)))";
    let faults = world_faults(&wat::parse_str(text).unwrap());
    let other = WorldFault::OtherVersion("intertrunk:policy/policy-api@0.2.0".to_owned());
    assert_eq!(faults, [other]);
}

#[test]
fn a_missing_function_is_named() {
    let text = "(component
        (instance $api) (export \"intertrunk:policy/policy-api@0.1.0\" (instance $api)))";
    let faults = world_faults(&wat::parse_str(text).unwrap());
    assert!(faults[0].to_string().contains("describe"), "{}", faults[0]);
}

#[test]
fn a_function_of_another_type_is_refused() {
    let contract = contract().replace("decide: func(query: query)", "decide: func(q: list<query>)");
    let api = "intertrunk:policy/policy-api@0.1.0";
    let text = core("", "", 0).replace(
        &format!("(func (export \"{api}#decide\") (param i32)"),
        &format!("(func (export \"{api}#decide\") (param i32 i32)"),
    );
    let faults = world_faults(&embed(&text, &contract));
    assert!(
        matches!(faults[..], [WorldFault::Signature(_)]),
        "{faults:?}"
    );
    assert!(
        faults[0]
            .to_string()
            .contains("expected `record` found `list`"),
        "{}",
        faults[0]
    );
}

/// A component that says it can be asked in bytes must take them.
#[test]
fn packed_questions_need_their_function() {
    let packed = "intertrunk:policy/packed@0.1.0";
    let world = contract().replace("export policy-api;", "export policy-api; export packed;");
    let answer = "answer: func(query: list<u8>)";
    assert!(world.contains("export packed;") && world.contains(answer));
    let faults = |name: &str, wit: &str| {
        let function = format!(
            "(func (export \"{packed}#{name}\") (param i32 i32) (result i32) (i32.const 8))"
        );
        world_faults(&embed(&core(&function, "", 0), &world.replace(answer, wit)))
    };
    let other_name = faults("ask", "ask: func(query: list<u8>)");
    let missing = WorldFault::MissingExport(format!("{packed}#answer"));
    assert_eq!(other_name, [missing]);
    let other_type = faults("answer", "answer: func(query: string)");
    assert!(
        matches!(&other_type[..], [WorldFault::Signature(it)] if it.contains("found `string`")),
        "{other_type:?}"
    );
}

/// S11, B6: all that was not granted is told at once.
#[test]
fn all_that_was_not_granted_is_told_at_once() {
    let wasm = with_manifest(&[], &["gw-a", "gw-z"], &["lcr", "blocked"]);
    let options = Options {
        trunks: vec!["gw-a".to_owned(), "pbx-a".to_owned()],
        tables: vec!["lcr".to_owned()],
        ..options()
    };
    let slot = Slot::new(&ENGINE, "main", options);
    let fault = slot.stage(&wasm, "", &world(), &[]).unwrap_err();
    assert!(matches!(&fault, LoadFault::Ungranted { trunks, tables }
        if trunks == &["gw-z"] && tables == &["blocked"]));
    let told = "asks for what it was not granted: trunk \"gw-z\" (add to `trunks` of the policy), \
        table \"blocked\" (add to `tables` of the policy)";
    assert_eq!(fault.to_string(), told);
}

#[test]
fn all_faults_of_the_settings_are_reported() {
    let settings = "[[route]]\nname = \"a\"\nmatch = '('\nto = \"gw-a\"\n\n\
        [[route]]\nname = \"b\"\nprefix = \"+1\"\nreject = 99\n";
    let fault = refusal(&STANDARD, settings, options());
    let LoadFault::Configure(faults) = &fault else {
        panic!("{fault}")
    };
    assert_eq!(faults.len(), 2, "{fault}");
    assert!(
        faults
            .iter()
            .all(|fault| !fault.path.is_empty() && fault.line.is_some()),
        "{fault}"
    );
    assert!(
        faults
            .iter()
            .all(|it| fault.to_string().contains(&it.problem)),
        "{fault}"
    );
}

/// O5: a policy that differs from its cases is refused.
#[test]
fn a_policy_that_differs_from_its_cases_is_refused() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("differs.toml");
    std::fs::write(
        &file,
        "[[case]]\nname = 'right'\nfrom = 'gw-a'\nto = '+14255550100'\n\
         expect = { connect = ['pbx-a'] }\n\
         [[case]]\nname = 'wrong'\nfrom = 'gw-a'\nto = '+14255550100'\nexpect = { reject = 404 }\n",
    )
    .unwrap();
    let suites = intertrunk_cases::load(&file).unwrap();
    let slot = Slot::new(&ENGINE, "main", options());
    let fault = slot.stage(&EXTENSIONS, "", &world(), &suites).unwrap_err();
    let LoadFault::Cases(reports) = &fault else {
        panic!("{fault}")
    };
    let passed: Vec<_> = reports
        .iter()
        .map(|it| (it.name.as_str(), it.passed()))
        .collect();
    assert_eq!(passed, [("right", true), ("wrong", false)]);
    assert!(
        fault
            .to_string()
            .starts_with("1 of 2 cases differ\nDIFFERS wrong"),
        "{fault}"
    );
    assert!(slot.status().staged.is_none());

    let right = suites.into_iter().map(|mut suite| {
        suite.cases.truncate(1);
        suite
    });
    let info = slot
        .stage(&EXTENSIONS, "", &world(), &right.collect::<Vec<_>>())
        .unwrap();
    assert_eq!(info.cases_passed, 1);
    assert_eq!(
        slot.status().last_rejected,
        None,
        "what was mended is no longer told"
    );
}

#[test]
fn a_hostile_guest_fails_its_cases_and_not_the_host() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile.toml");
    let cases = ["trap", "sane", "100"].map(|to| {
        format!(
            "[[case]]\nname = '{to}'\nfrom = 'pbx-a'\nto = '{to}'\n\
             expect = {{ connect = ['gw-a'] }}\n"
        )
    });
    std::fs::write(&file, cases.concat()).unwrap();
    let suites = intertrunk_cases::load(&file).unwrap();
    let reports = intertrunk_policy::cases::run(&ENGINE, &HOSTILE, "", &suites).unwrap();
    for report in [&reports[0], &reports[2]] {
        let diff = report.diff.as_deref().unwrap();
        assert!(diff.contains("no verdict"), "{report}");
    }
    assert!(reports[1].passed(), "{}", reports[1]);
}

#[test]
fn settings_too_slow_for_a_fresh_instance_each_time_are_refused() {
    let options = Options {
        isolation: Isolation::Call,
        deadline: std::time::Duration::ZERO,
        ..options()
    };
    let slot = Slot::new(&ENGINE, "main", options);
    let fault = slot.stage(&EXTENSIONS, "", &world(), &[]).unwrap_err();
    assert!(matches!(fault, LoadFault::SlowConfigure { .. }), "{fault}");
}

/// A component that passes every call, with a manifest that asks for this.
pub fn with_manifest(headers: &[&str], trunks: &[&str], tables: &[&str]) -> Vec<u8> {
    made("", [headers, trunks, tables])
}

/// A component that passes every call, of a module with these fields besides.
pub fn made(fields: &str, manifest: [&[&str]; 3]) -> Vec<u8> {
    made_to(PASS, fields, manifest)
}

/// One whose `decide` does this, and leaves the address of a verdict.
pub fn deciding(decide: &str) -> Vec<u8> {
    made_to(decide, "", [&[], &[], &[]])
}

fn made_to(decide: &str, fields: &str, manifest: [&[&str]; 3]) -> Vec<u8> {
    // Strings first, then the lists of (pointer, length), then the record, as the canonical ABI
    // lays them out; all pointers are absolute.
    let mut data = Vec::new();
    let mut put = |bytes: &[u8]| {
        let at = u32::try_from(DATA + data.len()).unwrap();
        data.extend_from_slice(bytes);
        data.resize(data.len().next_multiple_of(4), 0);
        at
    };
    let pair = |at: u32, length: usize| [at, u32::try_from(length).unwrap()].map(u32::to_le_bytes);
    let mut record = Vec::new();
    for text in ["odd", "1.0.0"] {
        record.extend(pair(put(text.as_bytes()), text.len()).concat());
    }
    for names in manifest {
        let list: Vec<u8> = names
            .iter()
            .flat_map(|it| pair(put(it.as_bytes()), it.len()).concat())
            .collect();
        record.extend(pair(put(&list), names.len()).concat());
    }
    let manifest = put(&record);
    let data: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let core = core(fields, &data, manifest);
    let passes = format!("(result i32) {PASS}))");
    assert!(core.ends_with(&passes));
    let core = core.replace(&passes, &format!("(result i32) {decide}))"));
    embed(&core, &contract())
}

/// Leaves the address of a verdict that passes.
const PASS: &str = "(i32.const 16)";

/// Where a made module's data begins.
const DATA: usize = 1024;

/// A core module with the contract's exports. Address 8 holds zeros (`ok`), 16 a 4 (`pass`).
fn core(fields: &str, data: &str, manifest: u32) -> String {
    let api = "intertrunk:policy/policy-api@0.1.0";
    format!(
        "(module {fields}
            (memory (export \"memory\") 4)
            (global $free (mut i32) (i32.const 65536))
            (data (i32.const 16) \"\\04\")
            (data (i32.const {DATA}) \"{data}\")
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (global.get $free))
                (global.set $free (i32.and (i32.const -8)
                    (i32.add (i32.add (global.get $free) (local.get 3)) (i32.const 7))))
                (local.get $at))
            (func (export \"{api}#describe\") (result i32) (i32.const {manifest}))
            (func (export \"{api}#configure\") (param i32 i32) (result i32) (i32.const 8))
            (func (export \"{api}#decide\") (param i32) (result i32) {PASS}))"
    )
}

fn contract() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/policy.wit");
    std::fs::read_to_string(path).unwrap()
}

/// The core module `text` with the component type of the world `policy` of `contract` inside.
fn embed(text: &str, contract: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("policy.wit", contract).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap();
    module
}

#[test]
fn a_made_component_describes_itself() {
    let inspection = module::inspect(&ENGINE, &with_manifest(&["X-A"], &["*"], &["lcr"])).unwrap();
    let manifest = &inspection.manifest;
    assert_eq!(
        (manifest.name.as_str(), manifest.version.as_str()),
        ("odd", "1.0.0")
    );
    assert_eq!(manifest.headers, ["X-A"]);
    assert_eq!(manifest.tables, ["lcr"]);
    assert!(
        inspection.to_string().contains("headers  X-A"),
        "{inspection}"
    );
}

//! Rejections, and compiled programs run by a small interpreter of classic BPF.

use super::names::LOG;
use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ALLOW: u32 = 0x7fff_0000;
const KILL_THREAD: u32 = 0;
const NOTIFY: u32 = 0x7fc0_0000;

fn strict(config: &Seccomp) -> Result<Option<Filter<'_>>> {
    Conflicts::none(|conflicts| plan(config, conflicts))
}

fn errno(number: u32) -> u32 {
    0x0005_0000 | number
}

fn profile(json: serde_json::Value) -> Seccomp {
    serde_json::from_value(json).unwrap()
}

fn rejection(json: serde_json::Value) -> String {
    strict(&profile(json)).unwrap_err().message()
}

fn compiled(json: serde_json::Value) -> Vec<u8> {
    strict(&profile(json)).unwrap().unwrap().compile().unwrap()
}

fn native() -> u32 {
    ARCHS.iter().find(|(_, arch)| arch.scmp == ScmpArch::native()).unwrap().1.audit
}

fn number(name: &str) -> u32 {
    ScmpSyscall::from_name(name).unwrap().as_raw_syscall() as u32
}

/// What the kernel would answer to this call.
fn run(program: &[u8], arch: u32, number: u32, args: [u64; 6]) -> u32 {
    // struct seccomp_data
    let mut data = [number.to_ne_bytes(), arch.to_ne_bytes()].concat();
    data.extend(0u64.to_ne_bytes());
    data.extend(args.iter().flat_map(|arg| arg.to_ne_bytes()));
    assert_eq!((data.len(), program.len() % 8), (64, 0));

    let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut a, mut pc) = (0u32, 0usize);
    loop {
        let instruction = &program[pc * 8..pc * 8 + 8];
        let (code, k) = (u16::from_ne_bytes([instruction[0], instruction[1]]), word(instruction, 4));
        pc += 1;
        let mut branch = |holds: bool| pc += usize::from(instruction[if holds { 2 } else { 3 }]);
        match code {
            0x20 => a = word(&data, k as usize),
            0x54 => a &= k,
            0x05 => pc += k as usize,
            0x15 => branch(a == k),
            0x25 => branch(a > k),
            0x35 => branch(a >= k),
            0x45 => branch(a & k != 0),
            0x06 => return k,
            _ => panic!("instruction {code:#x} at {}", pc - 1),
        }
    }
}

fn call(program: &[u8], name: &str, args: &[u64]) -> u32 {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    run(program, native(), number(name), all)
}

/// A profile: the default action, the rules and, behind a semicolon, what else there is.
macro_rules! rules {
    ($default:expr, $({ $($rule:tt)* }),* $(; $($more:tt)*)?) => {
        serde_json::json!({"defaultAction": $default, "syscalls": [$({ $($rule)* }),*] $(, $($more)*)?})
    };
}

#[test]
fn names_the_property_it_rejects() {
    let allow = || serde_json::json!({"names": ["read"], "action": "SCMP_ACT_ALLOW"});
    let cases = [
        (rules!("", {"names": ["read"], "action": "SCMP_ACT_ALLOW"}), "defaultAction: unknown action \"\""),
        (rules!("SCMP_ACT_FOO",), "defaultAction: unknown action \"SCMP_ACT_FOO\""),
        (rules!("SCMP_ACT_NOTIFY",), "defaultAction: SCMP_ACT_NOTIFY cannot be the default action"),
        (rules!("SCMP_ACT_ERRNO", ; "defaultErrnoRet": 4096), "defaultErrnoRet: 4096 is not in 0 to 4095"),
        (rules!("SCMP_ACT_TRACE", ; "defaultErrnoRet": 65536), "defaultErrnoRet: 65536 is not in 0 to 65535"),
        (rules!("SCMP_ACT_ALLOW", ; "defaultErrnoRet": 1), "defaultErrnoRet: 1: the action has no errno"),
        (
            rules!("SCMP_ACT_ERRNO", {"names": ["dup"], "action": "SCMP_ACT_ALLOW", "errnoRet": 9}),
            "syscalls[0].errnoRet: 9: the action has no errno",
        ),
        (
            rules!("SCMP_ACT_ALLOW", ; "listenerMetadata": "m"),
            "listenerMetadata: there is no linux.seccomp.listenerPath to send it to",
        ),
        (
            rules!("SCMP_ACT_ALLOW", ; "architectures": ["SCMP_ARCH_VAX"]),
            "architectures[0]: unknown architecture \"SCMP_ARCH_VAX\"",
        ),
        (rules!("SCMP_ACT_ALLOW", ; "flags": ["SECCOMP_FILTER_FLAG_LOG", "FOO"]), "flags[1]: unknown flag \"FOO\""),
        (
            rules!("SCMP_ACT_ALLOW", ; "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
            "flags[0]: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with the action SCMP_ACT_NOTIFY",
        ),
        (
            serde_json::json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allow(),
                {"names": ["dup"], "action": "SCMP_ACT_FOO"}]}),
            "syscalls[1].action: unknown action \"SCMP_ACT_FOO\"",
        ),
        (
            rules!("SCMP_ACT_ALLOW", {"names": ["dup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}),
            "syscalls[0].errnoRet: 5000 is not in 0 to 4095",
        ),
        (
            rules!("SCMP_ACT_ALLOW", {"names": ["dup", ""], "action": "SCMP_ACT_ERRNO"}),
            "syscalls[0].names[1]: an empty name",
        ),
        (
            rules!("SCMP_ACT_ALLOW", {"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}; "listenerPath": "/s"),
            "syscalls[0].names[1]: SCMP_ACT_NOTIFY cannot be used for write",
        ),
        (
            rules!("SCMP_ACT_ALLOW", {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}),
            "listenerPath: missing, but a rule has the action SCMP_ACT_NOTIFY",
        ),
        (
            rules!("SCMP_ACT_ALLOW", {"names": ["dup"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NO"}]}),
            "syscalls[0].args[0].op: unknown operator \"SCMP_CMP_NO\"",
        ),
        (
            rules!("SCMP_ACT_ALLOW", {"names": ["dup"], "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}),
            "syscalls[0].args[0].index: 6 is not in 0 to 5",
        ),
    ];
    for (json, message) in cases {
        assert_eq!(rejection(json), format!("linux.seccomp.{message}"));
    }
}

#[test]
#[cfg(target_endian = "little")]
fn rejects_an_architecture_of_the_other_endianness() {
    let message = rejection(rules!("SCMP_ACT_ALLOW", ; "architectures": ["SCMP_ARCH_S390X"]));
    let expected =
        "linux.seccomp.architectures[0]: SCMP_ARCH_S390X cannot be filtered together with the native architecture: ";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn without_action_and_rules_there_is_nothing_to_install() {
    assert!(strict(&Seccomp::default()).unwrap().is_none());
}

#[test]
fn allows_denies_and_skips_what_it_does_not_know() {
    let json = rules!("SCMP_ACT_ERRNO",
        {"names": ["read", "no_such_call", "getppid"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["dup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 100},
        {"names": ["dup3"], "action": "SCMP_ACT_ERRNO"},
        {"names": ["getpid"], "action": "SCMP_ACT_KILL"},
        {"names": ["getuid"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["getgid"], "action": "SCMP_ACT_TRAP"},
        {"names": ["geteuid"], "action": "SCMP_ACT_TRACE"},
        {"names": ["getegid"], "action": "SCMP_ACT_TRACE", "errnoRet": 65535},
        {"names": ["getsid"], "action": "SCMP_ACT_LOG"},
        {"names": ["mkdirat"], "action": "SCMP_ACT_NOTIFY"}; "defaultErrnoRet": 13, "listenerPath": "/s");
    let config = profile(json);
    let filter = strict(&config).unwrap().unwrap();
    assert_eq!(filter.unknown_syscalls(), ["no_such_call"]);
    assert_eq!(filter.flags(), NEW_LISTENER | SPEC_ALLOW);
    let program = filter.compile().unwrap();
    let expected = [
        ("read", ALLOW),
        ("getppid", ALLOW),
        ("close", errno(13)),
        ("dup", errno(100)),
        ("dup3", errno(1)),
        ("getpid", KILL_THREAD),
        ("getuid", 0x8000_0000),
        ("getgid", 0x0003_0000),
        ("geteuid", 0x7ff0_0001),
        ("getegid", 0x7ff0_ffff),
        ("getsid", 0x7ffc_0000),
        ("mkdirat", NOTIFY),
    ];
    for (name, answer) in expected {
        assert_eq!(call(&program, name, &[]), answer, "{name}");
    }
    // libseccomp's answer to an architecture that is not in the filter.
    assert_eq!(run(&program, 0x1234, number("read"), [0; 6]), KILL_THREAD);
}

#[test]
fn compares_all_64_bits_with_every_operator() {
    const VALUE: u64 = 0x1234_5678_9abc_def0;
    let samples =
        [0, 1, VALUE - 1, VALUE, VALUE + 1, VALUE & 0xffff_ffff, VALUE & !0xffff_ffff, VALUE + (1 << 32), u64::MAX];
    type Holds = fn(u64) -> bool;
    let operators: [(&str, Holds); 6] = [
        ("SCMP_CMP_NE", |arg| arg != VALUE),
        ("SCMP_CMP_LT", |arg| arg < VALUE),
        ("SCMP_CMP_LE", |arg| arg <= VALUE),
        ("SCMP_CMP_EQ", |arg| arg == VALUE),
        ("SCMP_CMP_GE", |arg| arg >= VALUE),
        ("SCMP_CMP_GT", |arg| arg > VALUE),
    ];
    for (op, holds) in operators {
        let program = compiled(rules!("SCMP_ACT_ERRNO",
            {"names": ["prctl"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 4, "value": VALUE, "op": op}]}));
        for arg in samples {
            let answer = if holds(arg) { ALLOW } else { errno(1) };
            assert_eq!(call(&program, "prctl", &[0, 0, 0, 0, arg]), answer, "{op} {arg:#x}");
        }
    }
    let mask = 0xff00_0000_0000_00f0u64;
    let program = compiled(rules!("SCMP_ACT_ERRNO",
        {"names": ["prctl"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 1, "value": mask, "valueTwo": 0x1200_0000_0000_0030u64, "op": "SCMP_CMP_MASKED_EQ"}]}));
    for (arg, answer) in [
        (0x1200_0000_0000_0030, ALLOW),
        (0x1234_5678_9abc_de3f, ALLOW),
        (0x1334_5678_9abc_de3f, errno(1)),
        (0x1234_5678_9abc_de4f, errno(1)),
        (0, errno(1)),
    ] {
        assert_eq!(call(&program, "prctl", &[0, arg]), answer, "{arg:#x}");
    }
}

#[test]
fn conditions_on_one_argument_are_alternatives_and_on_several_must_all_hold() {
    let program = compiled(rules!("SCMP_ACT_ERRNO",
        {"names": ["dup3"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]},
        {"names": ["prctl"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
            {"index": 1, "value": 3, "op": "SCMP_CMP_EQ"}]}));
    for (args, answer) in [([1, 2], ALLOW), ([1, 3], errno(1)), ([2, 2], errno(1))] {
        assert_eq!(call(&program, "dup3", &args), answer, "{args:?}");
    }
    for (args, answer) in [([1, 0], ALLOW), ([2, 0], ALLOW), ([0, 3], ALLOW), ([0, 0], errno(1))] {
        assert_eq!(call(&program, "prctl", &args), answer, "{args:?}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn other_architectures_have_their_own_numbers() {
    let rule = || {
        rules!("SCMP_ACT_ERRNO", {"names": ["getppid", "statx"], "action": "SCMP_ACT_ALLOW"}; 
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"])
    };
    let program = compiled(rule());
    const X32: u32 = 1 << 30;
    for (arch, number, answer) in [
        (X86_64, 110, ALLOW),
        (I386, 64, ALLOW),
        (X86_64, X32 | 110, ALLOW),
        (AARCH64, 173, ALLOW),
        (X86_64, 64, errno(1)),
        (I386, 110, errno(1)),
        (X86_64, X32 | 64, errno(1)),
        // The newest of the profile is statx: 332, 383, 332 and 291.
        (X86_64, 332, ALLOW),
        (X86_64, 331, errno(1)),
        (X86_64, 333, errno(38)),
        (X86_64, 0x8000_0000, errno(38)),
        (I386, 382, errno(1)),
        (I386, 384, errno(38)),
        (X86_64, X32 | 331, errno(1)),
        (X86_64, X32 | 333, errno(38)),
        (AARCH64, 292, errno(38)),
        (AARCH64, 290, errno(1)),
        (0x1234, 1000, KILL_THREAD),
    ] {
        assert_eq!(run(&program, arch, number, [0; 6]), answer, "{arch:#x} {number}");
    }
    // Only the native one: a call by another architecture's convention is none that the profile could have meant.
    let program = compiled(rules!("SCMP_ACT_ERRNO", {"names": ["getppid"], "action": "SCMP_ACT_ALLOW"}));
    for (arch, number, answer) in
        [(X86_64, 110, ALLOW), (X86_64, 111, errno(38)), (I386, 64, KILL_THREAD), (X86_64, X32 | 110, KILL_THREAD)]
    {
        assert_eq!(run(&program, arch, number, [0; 6]), answer, "{arch:#x} {number}");
    }
}

#[test]
fn a_system_call_newer_than_the_profile_does_not_exist() {
    for (default, answer) in [
        ("SCMP_ACT_ERRNO", errno(38)),
        ("SCMP_ACT_KILL_PROCESS", errno(38)),
        ("SCMP_ACT_TRAP", errno(38)),
        ("SCMP_ACT_LOG", 0x7ffc_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0001),
    ] {
        let program = compiled(rules!(default, {"names": ["statx"], "action": "SCMP_ACT_ALLOW"}));
        assert_eq!(call(&program, "clone3", &[]), answer, "{default}");
        assert_eq!(call(&program, "statx", &[]), ALLOW, "{default}");
    }
    // A rule that needs no instructions still says what its author knew.
    let program = compiled(rules!("SCMP_ACT_ERRNO", {"names": ["clone3"], "action": "SCMP_ACT_ERRNO"}));
    assert_eq!(call(&program, "clone3", &[]), errno(1));
    assert_eq!(call(&program, "faccessat2", &[]), errno(38));
}

#[test]
fn translates_the_flags() {
    let flags = |names: &[&str]| {
        let config =
            profile(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": names, "listenerPath": "/ignored"}));
        strict(&config).unwrap().unwrap().flags()
    };
    assert_eq!(flags(&[]), 0);
    let absent = profile(serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW"}));
    assert_eq!(strict(&absent).unwrap().unwrap().flags(), SPEC_ALLOW);
    assert_eq!(flags(&["SECCOMP_FILTER_FLAG_TSYNC"]), 0);
    assert_eq!(flags(&["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]), LOG | SPEC_ALLOW);
}

#[test]
fn the_tables_are_sorted_and_the_library_knows_every_name() {
    for table in [known_actions(), known_operators(), known_archs()] {
        assert!(table.is_sorted(), "{table:?}");
    }
    for (name, arch) in ARCHS {
        assert_eq!(name.parse::<ScmpArch>().ok(), Some(arch.scmp));
    }
    for (name, op) in OPERATORS {
        assert_eq!(name.parse::<ScmpCompareOp>().ok(), Some(*op));
    }
    for (name, action) in ACTIONS {
        assert_eq!(ScmpAction::from_str(name, Some(1)).ok(), Some(*action));
    }
    assert!(version().starts_with("2."), "{}", version());
}

/// A profile of the usual size gets the binary tree, and means the same.
#[test]
fn a_long_profile_is_searched_as_a_tree() {
    let names: Vec<String> =
        (0..450).step_by(2).filter_map(|n| ScmpSyscall::from_raw_syscall(n).get_name().ok()).collect();
    assert!(names.len() > 150);
    let program = compiled(rules!("SCMP_ACT_ERRNO", {"names": names, "action": "SCMP_ACT_ALLOW"}));
    let newest = names.iter().map(|name| number(name)).max().unwrap();
    for n in 0..500 {
        let listed = ScmpSyscall::from_raw_syscall(n).get_name().is_ok_and(|name| names.contains(&name));
        let answer = if listed { ALLOW } else { errno(if n as u32 > newest { 38 } else { 1 }) };
        assert_eq!(run(&program, native(), n as u32, [0; 6]), answer, "{n}");
    }
}

#[test]
fn the_kernel_is_asked_which_flags_it_has() {
    let knows = hilum_sys::process::knows_seccomp_flags;
    assert!(knows(LOG) && knows(SPEC_ALLOW) && knows(NEW_LISTENER));
    assert!(!knows(1 << 31) && !knows(LOG | 1 << 31));
}

#[test]
fn the_summary_names_the_action_as_the_profile_does() {
    for name in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD"] {
        let profile = profile(serde_json::json!({ "defaultAction": name }));
        assert_eq!(strict(&profile).unwrap().unwrap().summary().default_action, name);
    }
}

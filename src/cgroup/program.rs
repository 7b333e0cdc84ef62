//! The device rules as an eBPF program, which the kernel asks about every open and mknod of a device.
//!
//! It goes through the rules from the last to the first, with the accesses that no rule has decided yet in a register:
//! an allowing rule takes its own away, a denying one that finds one of its own ends with no.

use hilum_sys::bpf::Instruction;

use super::device::{Rule, Rules};

// struct bpf_cgroup_dev_ctx: { u32 access_type; u32 major; u32 minor; }, with the access in the high half of the first.
const ACCESS_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

#[derive(Clone, Copy)]
enum Register {
    /// The answer: 1 allows.
    Result = 0,
    Context = 1,
    Kind = 2,
    Undecided = 3,
    Major = 4,
    Minor = 5,
    Scratch = 6,
}

// Operation, class and operand kind, as in <linux/bpf.h>. The 32-bit forms, because device numbers are unsigned and
// an immediate would be sign-extended to 64.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const XOR: u8 = 0xa4;
const OR_REGISTER: u8 = 0x4c;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP: u8 = 0x05;
const JUMP_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_ANY_BIT: u8 = 0x46;
const EXIT: u8 = 0x95;

fn instruction(code: u8, target: Register, source: Register, offset: i16, immediate: u32) -> Instruction {
    let registers = target as u8 | (source as u8) << 4;
    Instruction { code, registers, offset, immediate: immediate as i32 }
}

fn load(target: Register, offset: i16) -> Instruction {
    instruction(LOAD_WORD, target, Register::Context, offset, 0)
}

fn with(code: u8, target: Register, immediate: u32) -> Instruction {
    instruction(code, target, Register::Result, 0, immediate)
}

fn answer(allow: bool) -> [Instruction; 2] {
    [with(MOVE, Register::Result, allow.into()), with(EXIT, Register::Result, 0)]
}

pub(super) fn assemble(rules: &Rules) -> Vec<Instruction> {
    let mut program = vec![
        load(Register::Kind, ACCESS_TYPE),
        instruction(MOVE_REGISTER, Register::Undecided, Register::Kind, 0, 0),
        with(AND, Register::Kind, 0xffff),
        with(SHIFT_RIGHT, Register::Undecided, 16),
        load(Register::Major, MAJOR),
        load(Register::Minor, MINOR),
    ];
    for rule in rules.exceptions.iter().rev() {
        program.extend(block(rule));
    }
    program.extend(answer(rules.default_allow));
    program
}

/// One rule. What does not match it jumps behind its end.
///
/// The device is compared by arithmetic with a single jump: after a jump on a register the verifier knows its value, and
/// would follow the rest of the program anew for each, in a time that grows with the square of the rules.
fn block(rule: &Rule) -> Vec<Instruction> {
    let mut block = differs(Register::Result, Register::Kind, rule.kind as u32).to_vec();
    for (register, number) in [(Register::Major, rule.major), (Register::Minor, rule.minor)] {
        if let Some(number) = number {
            block.extend(differs(Register::Scratch, register, number));
            block.push(instruction(OR_REGISTER, Register::Result, Register::Scratch, 0, 0));
        }
    }
    block.push(with(JUMP_NOT_EQUAL, Register::Result, 0));
    if rule.allow {
        block.push(with(AND, Register::Undecided, !u32::from(rule.access)));
        block.push(with(JUMP_NOT_EQUAL, Register::Undecided, 0));
    } else {
        // Over the next one, to the answer.
        block.push(instruction(JUMP_IF_ANY_BIT, Register::Undecided, Register::Result, 1, rule.access.into()));
        block.push(with(JUMP, Register::Result, 0));
    }
    block.extend(answer(rule.allow));
    let length = block.len();
    for (i, instruction) in block.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP | JUMP_NOT_EQUAL) {
            instruction.offset = (length - i - 1) as i16;
        }
    }
    block
}

/// Zero in the target if the register has the value.
fn differs(target: Register, register: Register, value: u32) -> [Instruction; 2] {
    [instruction(MOVE_REGISTER, target, register, 0, 0), with(XOR, target, value)]
}

#[cfg(test)]
mod tests {
    use super::super::device::{Kind, MKNOD, READ, WRITE};
    use super::*;

    /// What the kernel's interpreter does with the instructions above.
    fn run(program: &[Instruction], kind: u32, access: u32, major: u32, minor: u32) -> bool {
        let mut registers = [0xdead_u64; 16];
        let mut at = 0_i64;
        for _ in 0..10 * program.len() {
            let i = program[at as usize];
            let (target, source) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let (value, immediate) = (registers[target] as u32, i.immediate as u32);
            at += 1;
            let from = registers[source] as u32;
            let mut set = |value: u32| registers[target] = u64::from(value);
            let jump = match i.code {
                LOAD_WORD => {
                    assert_eq!(source, 1);
                    set(match i.offset {
                        ACCESS_TYPE => access << 16 | kind,
                        MAJOR => major,
                        MINOR => minor,
                        other => panic!("load at {other}"),
                    });
                    false
                }
                MOVE => {
                    set(immediate);
                    false
                }
                MOVE_REGISTER => {
                    set(from);
                    false
                }
                AND => {
                    set(value & immediate);
                    false
                }
                XOR => {
                    set(value ^ immediate);
                    false
                }
                OR_REGISTER => {
                    set(value | from);
                    false
                }
                SHIFT_RIGHT => {
                    set(value >> immediate);
                    false
                }
                JUMP => true,
                JUMP_NOT_EQUAL => value != immediate,
                JUMP_IF_ANY_BIT => value & immediate != 0,
                EXIT => return registers[0] == 1,
                other => panic!("code {other:#x}"),
            };
            if jump {
                at += i64::from(i.offset);
            }
        }
        panic!("does not end");
    }

    /// The meaning, access by access.
    fn naive(rules: &Rules, kind: u32, access: u32, major: u32, minor: u32) -> bool {
        [MKNOD, READ, WRITE].iter().filter(|&&bit| access & u32::from(bit) != 0).all(|&bit| {
            let last = rules.exceptions.iter().rev().find(|r| {
                r.kind as u32 == kind
                    && r.major.is_none_or(|m| m == major)
                    && r.minor.is_none_or(|m| m == minor)
                    && r.access & bit != 0
            });
            last.map_or(rules.default_allow, |r| r.allow)
        })
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, end: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % end
        }

        fn number(&mut self) -> u32 {
            [0, 1, 2, 3, 0x7fff_ffff, 0x8000_0000, u32::MAX][self.below(7) as usize]
        }

        fn rule(&mut self) -> Rule {
            Rule {
                allow: self.below(2) == 0,
                kind: if self.below(2) == 0 { Kind::Char } else { Kind::Block },
                major: (self.below(3) > 0).then(|| self.number()),
                minor: (self.below(3) > 0).then(|| self.number()),
                access: 1 + self.below(7) as u8,
            }
        }
    }

    #[test]
    fn agrees_with_the_rules() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let (mut allowed, mut denied) = (0, 0);
        for _ in 0..3000 {
            let count = random.below(12);
            let exceptions = (0..count).map(|_| random.rule()).collect();
            let rules = Rules { default_allow: random.below(2) == 0, exceptions };
            let program = assemble(&rules);
            for _ in 0..60 {
                let (kind, access) = (1 + random.below(2) as u32, 1 + random.below(7) as u32);
                let (major, minor) = (random.number(), random.number());
                let expected = naive(&rules, kind, access, major, minor);
                let found = run(&program, kind, access, major, minor);
                assert_eq!(found, expected, "{kind} {access} {major}:{minor} under {rules:?}");
                if expected { allowed += 1 } else { denied += 1 }
            }
        }
        assert!(allowed > 10_000 && denied > 10_000, "{allowed} {denied}");
    }
}

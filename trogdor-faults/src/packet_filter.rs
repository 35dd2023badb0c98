//! The programs (classic BPF, as bpf(8) of iproute2 reads them) that say which packets of a device a
//! fault is about: all of them, or a share by chance, but never those of Trogdor's own ports.

use std::collections::BTreeSet;

// Opcodes (linux/bpf_common.h).
const LOAD_CONSTANT: u16 = 0x00;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF_AT_X: u16 = 0x48;
const A_TO_X: u16 = 0x07;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// Places outside of the packet (linux/filter.h).
const PROTOCOL: u32 = 0xffff_f000;
const PACKET_KIND: u32 = 0xffff_f000 + 4;
const RANDOM: u32 = 0xffff_f000 + 56;
/// Where the network header begins.
const NETWORK: u32 = 0xfff0_0000;

const LEAVE: u32 = 0;
const TAKE: u32 = u32::MAX;
const FOR_THIS_NODE: u32 = 0;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const TCP: u32 = 6;
const IPV6_HEADER: u32 = 40;

/// A program that takes packets but for TCP from or to these ports.
pub(crate) fn bytecode(spared_ports: &BTreeSet<u16>) -> String {
    text(&program(spared_ports, &[(RETURN, 0, 0, TAKE)]))
}

/// A program that takes a share (0 to 1) of the packets for this node alone, chosen by chance, but
/// for TCP from or to these ports.
pub(crate) fn share_bytecode(spared_ports: &BTreeSet<u16>, share: f64) -> String {
    // Rounding is to one in four billion.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the whole range")]
    let below = (share * f64::from(u32::MAX)) as u32;
    let take = [
        (LOAD_HALF, 0, 0, PACKET_KIND),
        (JUMP_IF_EQUAL, 1, 0, FOR_THIS_NODE),
        (RETURN, 0, 0, LEAVE),
        (LOAD_WORD, 0, 0, RANDOM),
        (JUMP_IF_GREATER, 0, 1, below),
        (RETURN, 0, 0, LEAVE),
        (RETURN, 0, 0, TAKE),
    ];
    text(&program(spared_ports, &take))
}

/// Code, where to go on if true and if false, operand.
type Instruction = (u16, u8, u8, u32);

fn text(program: &[Instruction]) -> String {
    let words = program.iter().map(|(code, yes, no, k)| format!("{code} {yes} {no} {k},"));
    format!("{},{}", program.len(), words.collect::<String>())
}

/// The instructions `take`, for packets that are not spared.
fn program(spared_ports: &BTreeSet<u16>, take: &[Instruction]) -> Vec<Instruction> {
    let mut program = Vec::new();
    if !spared_ports.is_empty() {
        program.extend([
            (LOAD_HALF, 0, 0, PROTOCOL),
            (JUMP_IF_EQUAL, 2, 0, IPV4),
            (JUMP_IF_EQUAL, 9, 0, IPV6),
            // Neither: beyond the other two branches.
            (JUMP, 0, 0, 12),
            // IPv4, at 4: not a later fragment, and where its header ends.
            (LOAD_BYTE, 0, 0, NETWORK + 9),
            (JUMP_IF_EQUAL, 0, 10, TCP),
            (LOAD_HALF, 0, 0, NETWORK + 6),
            (JUMP_IF_ANY_BIT, 8, 0, 0x1fff),
            (LOAD_BYTE, 0, 0, NETWORK),
            (AND, 0, 0, 0xf),
            (SHIFT_LEFT, 0, 0, 2),
            (JUMP, 0, 0, 3),
            // IPv6, at 12; TCP behind extension headers is not looked for.
            (LOAD_BYTE, 0, 0, NETWORK + 6),
            (JUMP_IF_EQUAL, 0, 2, TCP),
            (LOAD_CONSTANT, 0, 0, IPV6_HEADER),
            // The common way on, at 15, and at 16 the way of all that is not TCP.
            (JUMP, 0, 0, u32::try_from(take.len()).unwrap_or(0)),
        ]);
        program.extend(take);
        program.push((A_TO_X, 0, 0, 0));
        for offset in [0, 2] {
            program.push((LOAD_HALF_AT_X, 0, 0, NETWORK + offset));
            for port in spared_ports {
                program.extend([(JUMP_IF_EQUAL, 0, 1, u32::from(*port)), (RETURN, 0, 0, LEAVE)]);
            }
        }
    }
    program.extend(take);
    program
}

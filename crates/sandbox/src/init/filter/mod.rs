//! The seccomp filter of a command, in the spirit of the profile that Docker installs.
//!
//! What reaches beyond a sandbox is refused with `EPERM`: mounts, namespaces, other kernels and modules, keys, BPF, handles
//! that bypass directories, clocks, swap. What a kernel newer than this list has is `ENOSYS`, so that programs fall back.
//! All else is allowed; what needs a capability that the command does not have is refused by the kernel itself.
//!
//! The program is put together here and not by a library: one filter has to know two instruction sets (a 64-bit kernel runs
//! 32-bit programs), and it has to be installed without `no_new_privs`, or `sudo` would not work in a `RUN`.

mod table;

use libc::sock_filter;
use table::{CLONE, CLONE3, Column, LAST_KNOWN, NO, PERSONALITY, REFUSED, SOCKET};

use crate::{
    error::{During, Failure},
    sys,
};

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Offsets in the kernel's `seccomp_data`; arguments are 64 bits wide, and only their low halves matter here.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = if cfg!(target_endian = "little") { 16 } else { 20 };

/// Every `CLONE_NEW…` flag that `clone` takes.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;
/// The personalities that change no protection: plain Linux, with a 32-bit or a 2.6 version number, and the question.
const PERSONALITIES: [u32; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// Numbers from here on are the x32 form of x86-64.
const X32: u32 = 0x4000_0000;
/// Numbers from here on are ARM's own calls, such as `set_tls`.
const ARM_PRIVATE: u32 = 0x000f_0000;

/// The architectures of the programs that this kernel runs.
const NATIVE: &[(u32, Column)] = if cfg!(target_arch = "x86_64") {
    &[(0xc000_003e, Column::X86_64), (0x4000_0003, Column::I386)]
} else {
    &[(0xc000_00b7, Column::Aarch64), (0x4000_0028, Column::Arm)]
};

/// Installs the filter for this process and all that it starts.
pub(super) fn install() -> Result<(), Failure> {
    sys::install_filter(&program()).during(|| "install the seccomp filter")
}

const fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

const fn answer(action: u32) -> sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, action)
}

/// Skips `jt` instructions where the test holds, else `jf`.
const fn jump(test: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k }
}

/// Answers with `action` where the test holds, else goes on.
fn answer_if(test: u32, k: u32, action: u32) -> [sock_filter; 2] {
    [jump(test, k, 0, 1), answer(action)]
}

fn program() -> Vec<sock_filter> {
    let mut program = vec![load(ARCHITECTURE)];
    for (architecture, column) in NATIVE {
        let block = block(*column);
        // A block is longer than a conditional jump reaches; an unconditional one has 32 bits.
        program.push(jump(libc::BPF_JEQ, *architecture, 1, 0));
        program.push(statement(libc::BPF_JMP | libc::BPF_JA, block.len() as u32));
        program.extend(block);
    }
    program.push(answer(KILL));
    program
}

/// Returns the decision for one architecture; every path through it ends in an answer.
fn block(column: Column) -> Vec<sock_filter> {
    let mut block = vec![load(NUMBER)];
    if column == Column::X86_64 {
        block.extend(answer_if(libc::BPF_JGE, X32, ENOSYS));
    }
    if column == Column::Arm {
        block.extend(answer_if(libc::BPF_JGE, ARM_PRIVATE, ALLOW));
    }
    block.extend(answer_if(libc::BPF_JGT, LAST_KNOWN, ENOSYS));
    // Its flags lie in memory, out of a filter's reach; every C library falls back to `clone`.
    block.extend(answer_if(libc::BPF_JEQ, CLONE3.in_column(column), ENOSYS));
    for call in REFUSED {
        if call.in_column(column) != u32::from(NO) {
            block.extend(answer_if(libc::BPF_JEQ, call.in_column(column), EPERM));
        }
    }
    let clone = [load(FIRST_ARGUMENT), jump(libc::BPF_JSET, NAMESPACES, 0, 1), answer(EPERM), answer(ALLOW)];
    let vsock = libc::AF_VSOCK as u32;
    let socket = [load(FIRST_ARGUMENT), jump(libc::BPF_JEQ, vsock, 0, 1), answer(EPERM), answer(ALLOW)];
    let mut personality = vec![load(FIRST_ARGUMENT)];
    for allowed in PERSONALITIES {
        personality.extend(answer_if(libc::BPF_JEQ, allowed, ALLOW));
    }
    personality.push(answer(EPERM));
    for (call, decision) in [(CLONE, &clone[..]), (SOCKET, &socket[..]), (PERSONALITY, &personality)] {
        block.push(jump(libc::BPF_JEQ, call.in_column(column), 0, decision.len() as u8));
        block.extend_from_slice(decision);
    }
    block.push(answer(ALLOW));
    block
}

#[cfg(test)]
mod tests;

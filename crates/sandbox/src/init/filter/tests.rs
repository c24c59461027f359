//! The filter as the kernel would run it, on a small interpreter of its few instructions.

use super::*;

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// Runs the program on a system call.
fn decide(program: &[sock_filter], architecture: u32, number: u32, argument: u32) -> u32 {
    let mut at = 0;
    let mut accumulator = 0;
    loop {
        let step = program[at];
        at += 1;
        let code = u32::from(step.code);
        let test = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
        match code {
            _ if code == libc::BPF_RET | libc::BPF_K => return step.k,
            _ if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                accumulator = match step.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    FIRST_ARGUMENT => argument,
                    other => panic!("load of {other}"),
                }
            }
            _ if code == libc::BPF_JMP | libc::BPF_JA => at += step.k as usize,
            _ if code == libc::BPF_JMP | libc::BPF_JEQ => at += test(accumulator == step.k),
            _ if code == libc::BPF_JMP | libc::BPF_JGE => at += test(accumulator >= step.k),
            _ if code == libc::BPF_JMP | libc::BPF_JGT => at += test(accumulator > step.k),
            _ if code == libc::BPF_JMP | libc::BPF_JSET => at += test(accumulator & step.k != 0),
            other => panic!("instruction {other:#x}"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn decides_per_architecture_number_and_argument() {
    let program = program();
    let newuser = libc::CLONE_NEWUSER as u32;
    for (name, architecture, number, argument, expected) in [
        ("read", X86_64, libc::SYS_read, 0, ALLOW),
        ("execve", X86_64, libc::SYS_execve, 0, ALLOW),
        ("mount", X86_64, libc::SYS_mount, 0, EPERM),
        ("the same number in 32 bits is setresuid's", I386, libc::SYS_mount, 0, ALLOW),
        ("mount in 32 bits", I386, 21, 0, EPERM),
        ("the same number in 64 bits is access", X86_64, 21, 0, ALLOW),
        ("unshare", X86_64, libc::SYS_unshare, 0, EPERM),
        ("bpf", X86_64, libc::SYS_bpf, 0, EPERM),
        ("keyctl", X86_64, libc::SYS_keyctl, 0, EPERM),
        ("chroot", X86_64, libc::SYS_chroot, 0, ALLOW),
        ("ptrace", X86_64, libc::SYS_ptrace, 0, ALLOW),
        ("clone of a thread", X86_64, libc::SYS_clone, libc::CLONE_VM as u32, ALLOW),
        ("clone with a user namespace", X86_64, libc::SYS_clone, newuser, EPERM),
        ("clone with one in 32 bits", I386, 120, newuser, EPERM),
        ("clone3", X86_64, libc::SYS_clone3, 0, ENOSYS),
        ("a unix socket", X86_64, libc::SYS_socket, libc::AF_UNIX as u32, ALLOW),
        ("a vsock socket", X86_64, libc::SYS_socket, libc::AF_VSOCK as u32, EPERM),
        ("the usual personality", X86_64, libc::SYS_personality, 0, ALLOW),
        ("the question for it", X86_64, libc::SYS_personality, u32::MAX, ALLOW),
        ("no address randomisation", X86_64, libc::SYS_personality, 0x4_0000, EPERM),
        ("x32", X86_64, i64::from(X32), 0, ENOSYS),
        ("a call of the future", X86_64, i64::from(LAST_KNOWN) + 1, 0, ENOSYS),
        ("another architecture", 0xc000_00b7, libc::SYS_read, 0, KILL),
    ] {
        let number = u32::try_from(number).unwrap();
        assert_eq!(decide(&program, architecture, number, argument), expected, "{name}");
    }
}

#[test]
fn fits_into_the_kernels_limit() {
    assert!(program().len() <= 4096, "{} instructions", program().len());
}

#[test]
fn every_block_answers_on_every_path() {
    for column in [Column::X86_64, Column::I386, Column::Aarch64, Column::Arm] {
        let block = block(column);
        for number in (0..600).chain([X32, ARM_PRIVATE + 5, u32::MAX]) {
            for argument in [0, 1, NAMESPACES, u32::MAX] {
                // Would panic by running over the end.
                decide(&block, 0, number, argument);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_table_has_the_numbers_of_this_machine() {
    for (name, number) in [
        ("acct", libc::SYS_acct),
        ("add_key", libc::SYS_add_key),
        ("fsopen", libc::SYS_fsopen),
        ("init_module", libc::SYS_init_module),
        ("kexec_load", libc::SYS_kexec_load),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("pivot_root", libc::SYS_pivot_root),
        ("setns", libc::SYS_setns),
        ("umount2", libc::SYS_umount2),
        ("userfaultfd", libc::SYS_userfaultfd),
    ] {
        let call = REFUSED.iter().find(|call| call.name() == name).unwrap();
        assert_eq!(i64::from(call.in_column(Column::X86_64)), number, "{name}");
    }
}

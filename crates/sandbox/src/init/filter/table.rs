//! System calls with their numbers, from the kernel's own headers.

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    X86_64,
    I386,
    Aarch64,
    Arm,
}

/// A call and its number in each column.
pub(super) struct Call(
    #[cfg_attr(not(test), expect(dead_code, reason = "the name is for readers and tests"))] &'static str,
    [u16; 4],
);

/// The number of a call that an architecture does not have.
pub(super) const NO: u16 = u16::MAX;

/// The highest number that was looked at; the numbers from 424 on are the same everywhere.
pub(super) const LAST_KNOWN: u32 = 469;

impl Call {
    /// Returns its number, or [`NO`].
    pub(super) fn in_column(&self, column: Column) -> u32 {
        u32::from(self.1[column as usize])
    }

    #[cfg(test)]
    pub(super) fn name(&self) -> &'static str {
        self.0
    }
}

pub(super) const CLONE: Call = Call("clone", [56, 120, 220, 120]);
pub(super) const CLONE3: Call = Call("clone3", [435, 435, 435, 435]);
pub(super) const PERSONALITY: Call = Call("personality", [135, 136, 92, 136]);
pub(super) const SOCKET: Call = Call("socket", [41, 359, 198, 281]);

/// What no command may call, whatever its arguments.
pub(super) const REFUSED: &[Call] = &[
    Call("acct", [163, 51, 89, 51]),
    Call("add_key", [248, 286, 217, 309]),
    Call("bpf", [321, 357, 280, 386]),
    Call("clock_settime", [227, 264, 112, 262]),
    Call("clock_settime64", [NO, 404, NO, 404]),
    Call("create_module", [174, 127, NO, NO]),
    Call("delete_module", [176, 129, 106, 129]),
    Call("fanotify_init", [300, 338, 262, 367]),
    Call("finit_module", [313, 350, 273, 379]),
    Call("fsconfig", [431, 431, 431, 431]),
    Call("fsmount", [432, 432, 432, 432]),
    Call("fsopen", [430, 430, 430, 430]),
    Call("fspick", [433, 433, 433, 433]),
    Call("get_kernel_syms", [177, 130, NO, NO]),
    Call("get_mempolicy", [239, 275, 236, 320]),
    Call("init_module", [175, 128, 105, 128]),
    Call("io_uring_enter", [426, 426, 426, 426]),
    Call("io_uring_register", [427, 427, 427, 427]),
    Call("io_uring_setup", [425, 425, 425, 425]),
    Call("ioperm", [173, 101, NO, NO]),
    Call("iopl", [172, 110, NO, NO]),
    Call("kcmp", [312, 349, 272, 378]),
    Call("kexec_file_load", [320, NO, 294, 401]),
    Call("kexec_load", [246, 283, 104, 347]),
    Call("keyctl", [250, 288, 219, 311]),
    Call("lookup_dcookie", [212, 253, 18, 249]),
    Call("mbind", [237, 274, 235, 319]),
    Call("migrate_pages", [256, 294, 238, 400]),
    Call("mount", [165, 21, 40, 21]),
    Call("mount_setattr", [442, 442, 442, 442]),
    Call("move_mount", [429, 429, 429, 429]),
    Call("move_pages", [279, 317, 239, 344]),
    Call("nfsservctl", [180, 169, 42, 169]),
    Call("open_by_handle_at", [304, 342, 265, 371]),
    Call("open_tree", [428, 428, 428, 428]),
    Call("open_tree_attr", [467, 467, 467, 467]),
    Call("pciconfig_iobase", [NO, NO, NO, 271]),
    Call("pciconfig_read", [NO, NO, NO, 272]),
    Call("pciconfig_write", [NO, NO, NO, 273]),
    Call("perf_event_open", [298, 336, 241, 364]),
    Call("pidfd_getfd", [438, 438, 438, 438]),
    Call("pivot_root", [155, 217, 41, 218]),
    Call("process_madvise", [440, 440, 440, 440]),
    Call("query_module", [178, 167, NO, NO]),
    Call("quotactl", [179, 131, 60, 131]),
    Call("quotactl_fd", [443, 443, 443, 443]),
    Call("reboot", [169, 88, 142, 88]),
    Call("request_key", [249, 287, 218, 310]),
    Call("set_mempolicy", [238, 276, 237, 321]),
    Call("set_mempolicy_home_node", [450, 450, 450, 450]),
    Call("setdomainname", [171, 121, 162, 121]),
    Call("sethostname", [170, 74, 161, 74]),
    Call("setns", [308, 346, 268, 375]),
    Call("settimeofday", [164, 79, 170, 79]),
    Call("stime", [NO, 25, NO, NO]),
    Call("swapoff", [168, 115, 225, 115]),
    Call("swapon", [167, 87, 224, 87]),
    Call("_sysctl", [156, 149, NO, 149]),
    Call("sysfs", [139, 135, NO, 135]),
    Call("syslog", [103, 103, 116, 103]),
    Call("umount", [NO, 22, NO, NO]),
    Call("umount2", [166, 52, 39, 52]),
    Call("unshare", [272, 310, 97, 337]),
    Call("uselib", [134, 86, NO, 86]),
    Call("userfaultfd", [323, 374, 282, 388]),
    Call("ustat", [136, 62, NO, 62]),
    Call("vhangup", [153, 111, 58, 111]),
    Call("vm86", [NO, 166, NO, NO]),
    Call("vm86old", [NO, 113, NO, NO]),
];

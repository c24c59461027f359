//! Dockerfiles of a few kinds, each in many variants, with the same image for the same variant on any day.

/// The kinds.
pub(crate) const KINDS: u64 = 5;

/// Returns the Dockerfile of a kind and a variant. `base` is an image in a registry, `mark` goes into the
/// environment of commands.
pub(crate) fn dockerfile(kind: u64, variant: u64, base: &str, mark: &str) -> String {
    let shell = format!(
        "FROM scratch AS shell\nCOPY busybox /bin/\nENV PATH=/bin {mark}\n\
         SHELL [\"/bin/busybox\", \"sh\", \"-c\"]\n"
    );
    let files = "i=0; while [ $i -lt 300 ]; do echo $i > /d/$i; i=$((i+1)); done";
    let rest = match kind % KINDS {
        0 => format!(
            "FROM shell AS top\nRUN busybox mkdir /a && echo {variant} > /a/x\nRUN echo more >> /a/x && busybox ln /a/x /a/y\n\
             RUN busybox rm /a/y && busybox mkdir -p /b/c && busybox chmod 2711 /b/c\n"
        ),
        1 => format!(
            "FROM shell AS top\nRUN busybox mkdir /d && {files}; echo {variant} > /d/v\nFROM shell AS other\nRUN busybox mkdir /e && echo {variant} > /e/v\n\
             FROM shell\nCOPY --from=1 /d /copied\nCOPY --from=other /e /also/\nRUN busybox rm /copied/7 && echo x > /copied/8\n"
        ),
        2 => format!(
            "FROM shell AS top\nRUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/t echo {variant} >> /cache/log && busybox cp /bin/busybox /t/x \
             && echo {variant} > /out\nRUN --mount=type=bind,from=shell,source=/bin,target=/m --mount=type=cache,target=/cache,sharing=locked \
             busybox ls /m > /list\n"
        ),
        // Its children hear no signal and would live for ever.
        3 => format!(
            "FROM shell AS top\nRUN trap '' TERM INT HUP; (while :; do busybox sleep 1; done) & (busybox setsid busybox sleep 100000 &); \
             echo {variant} > /out\n"
        ),
        _ => format!("FROM {base}\nENV {mark}\nRUN echo {variant} > /out\nCOPY busybox /again\n"),
    };
    shell + &rest
}

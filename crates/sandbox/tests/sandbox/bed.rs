//! A place to run in: a root file system of busybox, layers, and what a run left behind.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use slipway_sandbox::{
    Cancel, Error, Finished, Sandbox, Stream,
    spec::{Mount, MountSource, RunSpec, User},
};

/// The place of one case.
pub(crate) struct Bed {
    pub(crate) spec: RunSpec,
    pub(crate) base: PathBuf,
    kit: PathBuf,
    pub(crate) cancel: Cancel,
    _keep: tempfile::TempDir,
}

/// Puts together what beds are made of, before a way that empties the container's own file system removes it.
pub(crate) fn make_kit(kit: &Path, busybox: &Path) {
    fs::create_dir_all(kit.join("client")).unwrap();
    fs::copy(busybox, kit.join("busybox")).unwrap();
    let client = kit.join("client");
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for path in maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])) {
        let copy = client.join(&path[1..]);
        if path.contains(".so") && !copy.exists() {
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(path, copy).unwrap();
        }
    }
    // The loader's name in the program goes through links of the distribution.
    if fs::read_link("/lib").is_ok() {
        std::os::unix::fs::symlink("usr/lib", client.join("lib")).unwrap();
    }
    for entry in fs::read_dir("/lib64").into_iter().flatten() {
        let loader = entry.unwrap().path();
        fs::create_dir_all(client.join("lib64")).unwrap();
        fs::copy(&loader, client.join("lib64").join(loader.file_name().unwrap())).unwrap();
    }
    fs::copy("/proc/self/exe", client.join("client")).unwrap();
}

/// What one run gave.
pub(crate) struct Outcome {
    pub(crate) result: Result<Finished, Error>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Bed {
    pub(crate) fn new(scratch: &Path, kit: &Path) -> Self {
        let keep = tempfile::Builder::new().prefix("bed").tempdir_in(scratch).unwrap();
        let base = keep.path().to_owned();
        let lower = base.join("lower");
        for directory in ["bin", "etc", "tmp", "usr/bin", "home/app"] {
            fs::create_dir_all(lower.join(directory)).unwrap();
        }
        fs::set_permissions(lower.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::set_permissions(&lower, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(kit.join("busybox"), lower.join("bin/busybox")).unwrap();
        fs::set_permissions(lower.join("bin/busybox"), fs::Permissions::from_mode(0o755)).unwrap();
        for applet in APPLETS {
            std::os::unix::fs::symlink("busybox", lower.join("bin").join(applet)).unwrap();
        }
        fs::write(
            lower.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234::/home/app:/bin/sh\n",
        )
        .unwrap();
        for directory in ["upper", "work", "root"] {
            fs::create_dir(base.join(directory)).unwrap();
        }
        fs::set_permissions(base.join("upper"), fs::Permissions::from_mode(0o755)).unwrap();
        let spec = RunSpec {
            lowers: vec![lower],
            upper: base.join("upper"),
            work: base.join("work"),
            root: base.join("root"),
            env: vec!["PATH=/usr/bin:/bin".into()],
            cwd: "/".into(),
            user: User { home: "/root".into(), ..User::default() },
            hostname: "buildsandbox".into(),
            hosts: "127.0.0.1 localhost the-hosts-file\n".into(),
            resolv_conf: "nameserver 192.0.2.1\n".into(),
            ..RunSpec::default()
        };
        Self { spec, base, kit: kit.to_owned(), cancel: Cancel::new(), _keep: keep }
    }

    /// Runs a shell script.
    pub(crate) fn sh(&mut self, sandbox: &dyn Sandbox, script: &str) -> Outcome {
        self.spec.args = vec!["/bin/sh".into(), "-c".into(), script.into()];
        self.run(sandbox)
    }

    /// Runs what the specification says.
    pub(crate) fn run(&self, sandbox: &dyn Sandbox) -> Outcome {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut take = |stream, bytes: &[u8]| match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        };
        let result = sandbox.run(&self.spec, &mut take, &self.cancel);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Outcome { result, stdout: text(stdout), stderr: text(stderr) }
    }

    /// Adds a mount.
    pub(crate) fn mount(&mut self, target: &str, source: MountSource) {
        self.spec.mounts.push(Mount { target: target.into(), source });
    }

    /// Makes a directory with files beside the layers.
    pub(crate) fn tree(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let path = self.base.join(name);
        fs::create_dir_all(&path).unwrap();
        for (file, content) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        path
    }

    /// Adds this very program and the libraries that it uses, as a lowest layer, under the name `/client`.
    pub(crate) fn add_this_program(&mut self) {
        self.spec.lowers.push(self.kit.join("client"));
    }

    /// Returns owner, group and mode of a file as this process sees it.
    pub(crate) fn seen_inside(path: &Path) -> (u32, u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    }

    /// Lists what lies in `upper`, sorted: `path/` for directories, `path!` for whiteouts, `path` for others.
    pub(crate) fn upper(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.spec.upper, Path::new(""), &mut found);
        found.sort();
        found
    }
}

fn list(base: &Path, below: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(base.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        let name = path.to_str().unwrap().to_owned();
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        if metadata.is_dir() {
            found.push(format!("{name}/"));
            list(base, &path, found);
        } else if metadata.file_type().is_char_device() && metadata.rdev() == 0 {
            found.push(format!("{name}!"));
        } else {
            found.push(name);
        }
    }
}

/// Returns whether a process with this argument runs on the machine.
pub(crate) fn runs(argument: &str) -> bool {
    fs::read_dir("/proc").unwrap().any(|entry| {
        let command = fs::read(entry.unwrap().path().join("cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    })
}

/// Returns the files below a directory that hold these bytes.
pub(crate) fn holds(base: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(base).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            found.extend(holds(&path, bytes));
        } else if metadata.is_file()
            && fs::read(&path).unwrap().windows(bytes.len()).any(|part| part == bytes)
        {
            found.push(path);
        }
    }
    found
}

const APPLETS: &[&str] = &[
    "basename", "mkfifo", "cat", "chmod", "chown", "chroot", "cp", "cut", "dd", "df", "echo", "env", "false",
    "find", "grep", "head", "hostname", "id", "ifconfig", "kill", "ln", "ls", "mkdir", "mknod", "mount",
    "mv", "nc", "ps", "pwd", "readlink", "rm", "rmdir", "sed", "seq", "setsid", "sh", "sleep", "sort",
    "stat", "su", "sync", "tail", "test", "touch", "tr", "true", "umount", "unshare", "wc",
];

//! The catalogue: which base images there are, and what goes into them.

use crate::host::parts;

/// One base image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// The name on the command line.
    pub(crate) name: &'static str,
    /// Repositories in the registry, each with its tags.
    pub(crate) names: &'static [(&'static str, &'static str)],
    /// The base whose layer lies below.
    pub(crate) on: Option<&'static str>,
    /// What its own layer is.
    pub(crate) content: Content,
    /// Files of the layer; programs among them start with `#!`.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Settings of the image's configuration, as options of `crane mutate`.
    pub(crate) settings: &'static [&'static str],
    /// Takes minutes or hundreds of megabytes.
    pub(crate) large: bool,
}

/// What the layer of a base is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    /// Debian's smallest useful system.
    Debian,
    /// A static busybox with all its applets.
    Busybox,
    /// Nothing but the files, and certificates.
    Files,
    /// What an installation on top of Debian changed.
    Installed(Installation),
}

/// Debian packages, programs of this machine and a script's work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installation {
    /// Files and folders to take from this machine as they are.
    pub(crate) machine: &'static [&'static str],
    /// Whether to take this machine's Rust toolchain, without its documentation.
    pub(crate) rust: bool,
    /// Packages to install in any case.
    pub(crate) packages: &'static [&'static str],
    /// Packages to install where the first of the machine's files is not there.
    pub(crate) instead: &'static [&'static str],
    /// What is done in the end, by a shell in the image.
    pub(crate) script: &'static str,
}

const NOTHING: Installation =
    Installation { machine: &[], rust: false, packages: &[], instead: &[], script: "" };

impl Base {
    /// All names under which it is pushed.
    pub(crate) fn references(&self) -> Vec<String> {
        let tagged = |(repository, tags): &(&str, &'static str)| {
            let repository = (*repository).to_owned();
            tags.split(' ').map(move |tag| format!("{repository}:{tag}")).collect::<Vec<_>>()
        };
        self.names.iter().flat_map(tagged).collect()
    }

    /// The base that this one builds on.
    pub(crate) fn below(&self) -> Option<&'static Self> {
        CATALOGUE.iter().find(|other| Some(other.name) == self.on)
    }

    /// A name for this exact layer, whatever the image is called.
    pub(crate) fn layer_key(&self) -> String {
        let below = self.below().map(Self::layer_key);
        self.hash(&format!("{below:?} {:?} {:?}", self.content, self.files))
    }

    /// A name for this exact image.
    pub(crate) fn image_key(&self) -> String {
        self.hash(&format!("{} {self:?}", self.layer_key()))
    }

    fn hash(&self, text: &str) -> String {
        format!("{}-{:016x}", self.name, parts::fnv(parts::FNV_START, text.as_bytes()))
    }
}

const PATH: &str = "--env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const ALPINE_CC: &str = include_str!("files/alpine-cc");

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const GROUPS: &str = "root:x:0:\nnogroup:x:65534:\n";

const ADDUSER: &str = include_str!("files/adduser");
const ADDGROUP: &str = include_str!("files/addgroup");
const APK: &str = include_str!("files/apk");
/// The same for images whose Dockerfiles install compilers and libraries by Alpine's names.
const APK_BY_NAME: &str = concat!(include_str!("files/apk-names"), include_str!("files/apk"));

/// What Dockerfiles written for Alpine call, in an image that is Debian's.
const LIKE_ALPINE: &[(&str, &str)] = &[
    ("usr/local/sbin/adduser", ADDUSER),
    ("usr/local/sbin/addgroup", ADDGROUP),
    ("usr/local/sbin/apk", APK),
];

const DISTROLESS: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
    ("etc/os-release", "NAME=\"Stand-in for distroless\"\nID=debian\n"),
    ("home/nonroot/.keep", ""),
    ("tmp/.keep", ""),
];

/// All base images.
pub(crate) const CATALOGUE: &[Base] = &[
    Base {
        name: "debian",
        names: &[("library/debian", "bookworm bookworm-slim 12 12-slim latest stable stable-slim")],
        on: None,
        content: Content::Debian,
        files: &[],
        settings: &["--cmd=bash", PATH],
        large: false,
    },
    Base {
        name: "busybox",
        names: &[("library/busybox", "latest 1.36 uclibc musl")],
        on: None,
        content: Content::Busybox,
        files: &[("etc/passwd", USERS), ("etc/group", GROUPS), ("etc/shadow", "root:*:::::::\n")],
        settings: &["--cmd=sh", PATH],
        large: false,
    },
    Base {
        name: "alpine",
        names: &[("library/alpine", "latest 3 3.18 3.19 3.20 3.21")],
        on: None,
        content: Content::Busybox,
        files: &[
            ("etc/passwd", USERS),
            ("etc/group", GROUPS),
            ("etc/shadow", "root:*:::::::\n"),
            ("sbin/apk", APK),
            ("usr/sbin/adduser", ADDUSER),
            ("usr/sbin/addgroup", ADDGROUP),
            ("etc/os-release", "NAME=\"Stand-in for Alpine\"\nID=alpine\nVERSION_ID=3.21.0\n"),
        ],
        settings: &["--cmd=/bin/sh", PATH],
        large: false,
    },
    Base {
        name: "distroless",
        names: &[("distroless/static", "latest"), ("distroless/static-debian12", "latest")],
        on: None,
        content: Content::Files,
        files: DISTROLESS,
        settings: &[PATH, "--env=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        large: false,
    },
    Base {
        name: "distroless-nonroot",
        names: &[("distroless/static", "nonroot"), ("distroless/static-debian12", "nonroot")],
        on: None,
        content: Content::Files,
        files: DISTROLESS,
        settings: &[
            PATH,
            "--env=SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            "--user=65532",
            "--workdir=/home/nonroot",
        ],
        large: false,
    },
    Base {
        name: "node",
        names: &[(
            "library/node",
            "16 18 18-slim 18-alpine 20 20-slim 20-alpine 22 22-slim 22-alpine lts lts-slim lts-alpine latest",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation {
            machine: &[
                "/usr/bin/node",
                "/usr/bin/npm",
                "/usr/bin/npx",
                "/usr/bin/corepack",
                "/usr/lib/node_modules/npm",
                "/usr/lib/node_modules/corepack",
            ],
            packages: &["git"],
            instead: &["nodejs", "npm"],
            script: "groupadd --gid 1000 node\nuseradd --uid 1000 --gid node --create-home --shell /bin/bash node\n",
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        // A mirror of the registry may pass on no signatures, which corepack else insists on; lock files have hashes.
        settings: &["--cmd=node", PATH, "--env=NODE_VERSION=20", "--env=COREPACK_INTEGRITY_KEYS=0"],
        large: false,
    },
    Base {
        name: "golang",
        names: &[(
            "library/golang",
            "1.18 1.21 1.21-alpine 1.22 1.22-alpine 1.23 1.23-alpine 1.24 1.24-alpine 1.25 1.25-alpine latest alpine",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation {
            machine: &["/usr/local/go"],
            packages: &["git", "make"],
            instead: &["golang"],
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        settings: &[
            "--cmd=bash",
            "--workdir=/go",
            "--env=GOPATH=/go",
            "--env=GOTOOLCHAIN=local",
            "--env=PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ],
        large: false,
    },
    Base {
        name: "python",
        names: &[(
            "library/python",
            "3 3-slim 3.9 3.9-slim 3.10 3.10-slim 3.11 3.11-slim 3.12 3.12-slim slim latest",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["python3", "python3-pip", "python3-venv"],
            script: PYTHON,
            ..NOTHING
        }),
        files: &[],
        settings: &["--cmd=python3", PATH],
        large: false,
    },
    Base {
        name: "nginx",
        names: &[(
            "library/nginx",
            "alpine latest stable stable-alpine mainline-alpine 1.27 1.27-alpine 1.28 1.28-alpine",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation { packages: &["nginx-light"], script: NGINX, ..NOTHING }),
        files: LIKE_ALPINE,
        settings: &["--cmd=nginx,-g,daemon off;", PATH, "--exposed-ports=80/tcp"],
        large: false,
    },
    Base {
        name: "rust",
        names: &[("library/rust", "1 1-slim 1.75 1.75-slim 1.85 1.85-slim 1.95-slim-bookworm latest slim")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            rust: true,
            packages: &["gcc", "git", "libc6-dev", "musl-tools", "pkg-config"],
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        settings: &["--cmd=bash", PATH, "--env=CARGO_HOME=/usr/local/cargo"],
        large: true,
    },
    Base {
        name: "rust-alpine",
        names: &[("library/rust", "1-alpine 1.75-alpine 1.85-alpine alpine")],
        on: Some("rust"),
        content: Content::Files,
        files: &[("usr/local/sbin/apk", APK_BY_NAME), ("usr/local/bin/alpine-cc", ALPINE_CC)],
        settings: &["--env=CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=alpine-cc"],
        large: true,
    },
    Base {
        name: "maven",
        names: &[(
            "library/maven",
            "3 3.9 3.9-eclipse-temurin-17 3.9-eclipse-temurin-21 3-eclipse-temurin-17 latest",
        )],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["maven", "openjdk-17-jdk-headless"],
            ..NOTHING
        }),
        files: &[],
        settings: &["--cmd=mvn", PATH],
        large: true,
    },
    Base {
        name: "jre",
        names: &[
            ("library/eclipse-temurin", "17-jre 17-jre-alpine 21-jre 21-jre-alpine"),
            ("library/openjdk", "17-jre 21-jre"),
        ],
        on: Some("debian"),
        content: Content::Installed(Installation { packages: &["openjdk-17-jre-headless"], ..NOTHING }),
        files: LIKE_ALPINE,
        settings: &["--cmd=java", PATH],
        large: true,
    },
    Base {
        name: "composer",
        names: &[("library/composer", "2 2.8 latest")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["composer", "git", "php-cli", "unzip"],
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        settings: &["--cmd=composer", "--workdir=/app", PATH, "--env=COMPOSER_ALLOW_SUPERUSER=1"],
        large: true,
    },
    Base {
        name: "php",
        names: &[("library/php", "8.2-cli 8.2-cli-alpine 8.2-fpm 8.2-fpm-alpine")],
        on: Some("debian"),
        content: Content::Installed(Installation {
            packages: &["php-cli", "php-fpm"],
            script: PHP,
            ..NOTHING
        }),
        files: LIKE_ALPINE,
        settings: &["--cmd=php-fpm", "--workdir=/var/www/html", "--exposed-ports=9000/tcp", PATH],
        large: true,
    },
];

/// As in the image that it stands for: pip may install for the whole system, and packages lie in `site-packages`.
const PYTHON: &str = r"rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
ln -sf /usr/bin/python3 /usr/local/bin/python
for packages in /usr/local/lib/python3.*/dist-packages; do
    rmdir $packages
    mkdir ${packages%/*}/site-packages
    ln -s site-packages $packages
done
";

/// PHP-FPM in the foreground, on a port, with the environment and the messages of the container.
const PHP: &str = r"ln -s /usr/sbin/php-fpm8.2 /usr/local/sbin/php-fpm
sed -i 's,^;*daemonize =.*,daemonize = no,; s,^;*error_log =.*,error_log = /proc/self/fd/2,' /etc/php/8.2/fpm/php-fpm.conf
sed -i 's,^listen = .*,listen = 9000,; s,^;*clear_env =.*,clear_env = no,' /etc/php/8.2/fpm/pool.d/www.conf
mkdir -p /var/www/html
";

/// The user, the site's folder and the settings are those of the image that it stands for.
const NGINX: &str = r"rm -f /etc/nginx/sites-enabled/default
groupadd --system --gid 101 nginx
useradd --system --uid 101 --gid nginx --no-create-home --home-dir /var/cache/nginx --shell /sbin/nologin nginx
sed -i 's/^user .*/user nginx;/' /etc/nginx/nginx.conf
mkdir -p /var/cache/nginx
chown nginx: /var/cache/nginx
cat > /etc/nginx/conf.d/default.conf <<'SITE'
server {
    listen 80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
SITE
ln -sf /dev/stdout /var/log/nginx/access.log
ln -sf /dev/stderr /var/log/nginx/error.log
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_bases_claim_the_same_name() {
        let all: Vec<String> = CATALOGUE.iter().flat_map(Base::references).collect();
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(all.len(), distinct.len());
        assert!(distinct.contains(&"library/debian:bookworm-slim".to_owned()));
    }

    #[test]
    fn what_an_installation_builds_on_is_there_and_decides_on_its_layer() {
        for base in CATALOGUE {
            let needs = matches!(base.content, Content::Installed(_));
            assert!(base.below().is_some() || (!needs && base.on.is_none()), "{}", base.name);
        }
        let changed = Base { files: &[("etc/motd", "hello")], ..CATALOGUE[0] };
        assert_ne!(changed.layer_key(), CATALOGUE[0].layer_key());
        let renamed = Base { names: &[("library/other", "1")], ..CATALOGUE[0] };
        assert_eq!(renamed.layer_key(), CATALOGUE[0].layer_key());
        assert_ne!(renamed.image_key(), CATALOGUE[0].image_key());
    }
}

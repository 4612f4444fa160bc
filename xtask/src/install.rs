//! What the tests need besides Rust: real servers to run against, Python, Node.js and Go to run client libraries with, and
//! valgrind and strace to count with.
//!
//! On Debian and what derives from it, what is missing is installed; elsewhere a sentence says what to install.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// A need, and the Debian package that fills it.
struct Need {
    package: &'static str,
    /// A command that succeeds where the package is there; with a program alone, finding it is enough.
    probe: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need { package: "redis-server", probe: &["redis-server"] },
    Need { package: "memcached", probe: &["memcached"] },
    Need { package: "nutcracker", probe: &["nutcracker"] },
    Need { package: "valgrind", probe: &["valgrind"] },
    Need { package: "strace", probe: &["strace"] },
    Need { package: "python3-venv", probe: &["python3", "-c", "import venv, ensurepip"] },
    Need { package: "nodejs", probe: &["node"] },
    Need { package: "npm", probe: &["npm"] },
    Need { package: "golang-go", probe: &["go"] },
    Need {
        package: "golang-github-gomodule-redigo-dev",
        probe: &["test", "-d", "/usr/share/gocode/src/github.com/gomodule/redigo"],
    },
];

/// Installs what is missing. Fails where that cannot be done, naming what is missing.
pub(crate) fn servers() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("all there: {}", packages(NEEDS.iter()));
        return Ok(());
    }
    let names = packages(missing.iter().copied());
    let by_hand =
        format!("install {names}, or run `cargo xtask ci --no-install`: what needs them is skipped");
    if !there("apt-get") {
        bail!("not installed, and there is no apt-get: {by_hand}");
    }
    let mut install = Command::new("sh");
    if !rustix::process::geteuid().is_root() {
        let allowed = quietly("sudo", &["-n", "true"]);
        if !allowed {
            bail!("not installed, and neither root nor sudo without a password: {by_hand}");
        }
        install = Command::new("sudo");
        install.args(["-n", "sh"]);
    }
    println!("installing {names}");
    install.args(["-c", APT, "apt"]).args(missing.iter().map(|need| need.package));
    let status = install.stdin(Stdio::null()).status().context("apt-get cannot be run")?;
    let still = self::missing();
    if !status.success() || !still.is_empty() {
        bail!("apt-get did not install {} ({status}): {by_hand}", packages(still.into_iter()));
    }
    if Path::new("/run/systemd/system").exists() {
        println!(
            "none of them was started; Debian will at the next boot (systemctl disable NAME prevents it)"
        );
    }
    Ok(())
}

/// The search path, with the folders where Debian keeps servers: they are not on every user's path.
pub(crate) fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

fn missing() -> Vec<&'static Need> {
    let filled = |need: &&Need| match need.probe {
        [program] => there(program),
        [program, args @ ..] => quietly(program, args),
        [] => true,
    };
    NEEDS.iter().filter(|need| !filled(need)).collect()
}

fn packages<'a>(needs: impl Iterator<Item = &'a Need>) -> String {
    needs.map(|need| need.package).collect::<Vec<_>>().join(" ")
}

pub(crate) fn there(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|folder| folder.join(program).is_file())
}

fn quietly(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// As root. Debian starts a server when its package is installed; a policy for the time of the installation prevents
/// that, unless the machine has one of its own.
const APT: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update -q || echo "trying with the lists of packages that are there"
apt-get install -q -y --no-install-recommends "$@"
"#;

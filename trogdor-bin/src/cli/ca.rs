//! `trogdor ca`: an authority for a lab, and the certificates of its daemons and people. Works on
//! files alone and talks to nobody.

use std::path::{Path, PathBuf};

use trogdor_core::SystemClock;

use super::BAD_INPUT;
use super::answer::Answer;
use super::out::Out;
use crate::tls::{Authority, AuthorityError, Request, Role};

/// What the platform file's default host name stands for.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Arguments of `trogdor ca`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Make certificates for TLS between daemons and clients")]
#[command(infer_subcommands = true, infer_long_args = true)]
pub struct CaArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Command {
    /// Make the authority of a lab: ca.pem, which all believe, and ca-key.pem, which stays here
    Init {
        /// The folder to make it in
        #[arg(long, value_name = "DIR", default_value = "trogdor-ca")]
        dir: PathBuf,
        /// How long it counts; no certificate outlives it
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Make a certificate and its key, as a folder that --tls takes
    Issue {
        /// Whom it is for: a person, a program, or the node of a daemon
        #[arg(value_name = "NAME")]
        name: String,
        /// What its owner may do
        #[arg(long, value_enum)]
        role: Role,
        /// A host name or address by which others reach the daemon, as in the platform file; may be given more than
        /// once [default: localhost, 127.0.0.1 and ::1]
        #[arg(long = "host", value_name = "H")]
        hosts: Vec<String>,
        /// How long it counts
        #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// The folder of the authority
        #[arg(long, value_name = "DIR", default_value = "trogdor-ca")]
        dir: PathBuf,
        /// The folder to make [default: NAME in the folder of the authority]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Shut out a certificate before its time: make or extend crl.pem, which daemons read beside their ca.pem
    Revoke {
        /// The NAME that it was issued for, its folder, or its file
        #[arg(value_name = "CERTIFICATE")]
        certificate: PathBuf,
        /// The folder of the authority
        #[arg(long, value_name = "DIR", default_value = "trogdor-ca")]
        dir: PathBuf,
    },
}

/// The certificate of a folder that was issued, of a folder in the authority's, or in a file.
fn certificate_of(what: &Path, dir: &Path) -> PathBuf {
    const CERTIFICATE: &str = "cert.pem";
    let places = [what.to_owned(), what.join(CERTIFICATE), dir.join(what).join(CERTIFICATE)];
    places.into_iter().find(|place| place.is_file()).unwrap_or_else(|| dir.join(what).join(CERTIFICATE))
}

/// Runs `trogdor ca` and gives its exit code.
pub fn ca(args: &CaArgs, out: &mut dyn Out) -> u8 {
    let now_ms = SystemClock::shared().now().wall_ms;
    let answer = match &args.command {
        Command::Init { dir, days } => init(dir, now_ms, *days),
        Command::Issue { name, role, hosts, days, dir, out } => {
            let hosts = if hosts.is_empty() && role.is_daemon() {
                LOOPBACK.map(str::to_owned).to_vec()
            } else {
                hosts.clone()
            };
            let request = Request::for_days(name, *role, hosts, now_ms, *days);
            let folder = out.clone().unwrap_or_else(|| dir.join(name));
            issue(dir, &request, &folder, now_ms)
        }
        Command::Revoke { certificate, dir } => revoke(dir, &certificate_of(certificate, dir), now_ms),
    };
    let answer = answer.unwrap_or_else(|error| Answer::failed(BAD_INPUT, [sentence(&error)]));
    answer.print("trogdor ca", BAD_INPUT, out)
}

fn sentence(error: &AuthorityError) -> String {
    match error {
        AuthorityError::File { path, source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
            format!(
                "{} exists; keys are never overwritten: remove it, or choose another folder",
                path.display()
            )
        }
        other => other.to_string(),
    }
}

fn init(dir: &Path, now_ms: i64, days: u32) -> Result<Answer, AuthorityError> {
    let authority = Authority::create(dir, now_ms, days)?;
    let (name, dir) = (&authority.identity().name, dir.display());
    Ok(Answer::fine(format!(
        "Made authority \"{name}\" in {dir}, for {days} days. Keep {dir}/ca-key.pem here: whoever has it may do everything.\n"
    )))
}

fn issue(dir: &Path, request: &Request, folder: &Path, now_ms: i64) -> Result<Answer, AuthorityError> {
    let issued = Authority::open(dir, now_ms)?.issue(request)?;
    issued.write(folder)?;
    let until = crate::tls::moment(issued.identity.not_after_ms);
    let shown = folder.display();
    let head = format!("Made {} in {shown}, until {until}.\n", issued.identity);
    Ok(Answer::fine(head + &next_line(request, folder)))
}

fn revoke(dir: &Path, certificate: &Path, now_ms: i64) -> Result<Answer, AuthorityError> {
    let (identity, list) = Authority::open(dir, now_ms)?.revoke(dir, certificate, now_ms)?;
    let list = list.display();
    Ok(Answer::fine(format!(
        "Revoked {identity}: it is in {list}.\nCopy that beside the ca.pem of every daemon, as crl.pem; they take it within seconds.\n"
    )))
}

/// The line by which the owner begins to use it.
fn next_line(request: &Request, folder: &Path) -> String {
    let Request { name, role, hosts, .. } = request;
    let shown = folder.display();
    if !role.is_daemon() {
        return format!("Use it: trogdor client --tls {shown} …, or TROGDOR_TLS={shown}.\n");
    }
    // An agent's certificate is its node's; a coordinator is on one of the nodes.
    let node = if *role == Role::Agent { name } else { "NODE" };
    let start = format!("trogdor {role} -c trogdor.conf -n {node} --tls");
    match hosts.iter().find(|host| !LOOPBACK.contains(&host.as_str())) {
        None => format!("Join: {start} {shown}\n"),
        Some(host) => {
            let base = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy();
            format!("Join: scp -pr {shown} trogdor.conf {host}: && ssh {host} {start} {base}\n")
        }
    }
}

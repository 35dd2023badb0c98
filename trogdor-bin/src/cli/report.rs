//! `trogdor report`: one HTML page of a bundle. It overwrites nothing.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::BAD_INPUT;
use super::answer::Answer;
use super::out::Out;
use crate::results::{self, Bundle};

/// The name of the page if none is given.
const FILE_NAME: &str = "report.html";

/// Arguments of `trogdor report`.
#[derive(Debug, Clone, clap::Args)]
#[command(about = "Make one HTML page of a result bundle", infer_long_args = true)]
pub struct ReportArgs {
    /// The bundle: a file, or a folder with a bundle.json
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// The page to write [default: report.html beside the bundle]
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Leave this out of the tables at the start of each worker, as in 5s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    warm_up: Duration,
}

/// Runs `trogdor report` and gives its exit code.
pub fn report(args: &ReportArgs, out: &mut dyn Out) -> u8 {
    let place = args.out.clone().unwrap_or_else(|| beside(&args.bundle));
    let answer = match page(args).and_then(|page| write(&place, &page)) {
        Ok(()) => Answer::fine(format!("Wrote {}.\n", place.display())),
        Err(problem) => Answer::failed(BAD_INPUT, [problem]),
    };
    answer.print("trogdor report", BAD_INPUT, out)
}

fn page(args: &ReportArgs) -> Result<String, String> {
    let bundle = Bundle::read(&args.bundle).map_err(|error| error.to_string())?;
    results::report(&bundle, args.warm_up).map_err(|error| format!("{}: {error}", args.bundle.display()))
}

fn beside(bundle: &Path) -> PathBuf {
    if bundle.is_dir() { bundle.join(FILE_NAME) } else { bundle.with_file_name(FILE_NAME) }
}

fn write(place: &Path, page: &str) -> Result<(), String> {
    let told = |error: io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            format!("{} exists; nothing is overwritten, --out names another place", place.display())
        }
        _ => format!("cannot write {}: {error}", place.display()),
    };
    let mut file = File::create_new(place).map_err(told)?;
    file.write_all(page.as_bytes()).map_err(|error| {
        // What is there is ours, and no page.
        let _ = std::fs::remove_file(place);
        told(error)
    })
}

/// A time with its unit.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = text.parse::<jiff::SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    time.ok_or_else(|| "expected a time with its unit, as in 5s or 1m".to_owned())
}

#[cfg(test)]
mod tests {
    use trogdor_core::messages::NodesResponse;

    use super::*;
    use crate::cli::{Captured, FINE};

    fn told(args: ReportArgs) -> (u8, Captured) {
        let mut out = Captured::default();
        (report(&args, &mut out), out)
    }

    #[test]
    fn a_page_is_written_beside_its_bundle_once() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = Bundle::new([].into(), NodesResponse::default(), 3).write(folder.path()).unwrap();
        let args =
            |bundle: &Path| ReportArgs { bundle: bundle.to_owned(), out: None, warm_up: Duration::ZERO };
        let page = folder.path().join(FILE_NAME);
        let (code, out) = told(args(&bundle));
        assert_eq!((code, out.stdout), (FINE, format!("Wrote {}.\n", page.display())));
        let written = std::fs::read_to_string(&page).unwrap();
        assert!(written.starts_with("<!DOCTYPE html>") && written.ends_with("</html>\n"));
        let (code, out) = told(args(folder.path()));
        assert_eq!(code, BAD_INPUT);
        assert!(out.stderr.contains("report.html exists; nothing is overwritten"), "{out:?}");
        assert_eq!(std::fs::read_to_string(&page).unwrap(), written);
    }

    #[test]
    fn what_is_no_bundle_is_refused_in_a_line_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("cut.json");
        std::fs::write(&bundle, "{\"format\":\"trogdor-bundle\",\"ver").unwrap();
        let (code, out) = told(ReportArgs { bundle, out: None, warm_up: Duration::ZERO });
        assert_eq!((code, out.stderr.lines().count()), (BAD_INPUT, 1));
        assert!(out.stderr.contains("cut.json is not a whole bundle"), "{out:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_time_has_a_unit_and_is_not_negative() {
        let rows = [("5s", 5000), ("1m 30s", 90_000), ("250ms", 250), ("0s", 0)];
        for (text, ms) in rows {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "-5s", "soon"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}

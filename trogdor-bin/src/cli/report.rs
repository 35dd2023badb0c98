//! `trogdor report`: one HTML page of a bundle. It overwrites nothing.

use std::path::{Path, PathBuf};

use super::BAD_INPUT;
use super::answer::Answer;
use super::out::Out;
use super::outcome::worst;
use super::slo_argument::{SloArgs, Slos};
use crate::results::{self, Bundle, write_new};

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
    #[command(flatten)]
    slo: SloArgs,
}

/// Runs `trogdor report` and gives its exit code: 0 if the page was written and no SLO is missed.
pub fn report(args: &ReportArgs, out: &mut dyn Out) -> u8 {
    let answer = page(args).unwrap_or_else(|problems| Answer::failed(BAD_INPUT, problems));
    answer.print("trogdor report", BAD_INPUT, out)
}

fn page(args: &ReportArgs) -> Result<Answer, Vec<String>> {
    let place = args.out.clone().unwrap_or_else(|| beside(&args.bundle));
    let bundle = Bundle::read(&args.bundle).map_err(|error| vec![error.to_string()])?;
    let slos = args.slo.read(bundle.tasks.keys())?;
    let page = results::report(&bundle, slos.warm_up)
        .map_err(|error| vec![format!("{}: {error}", args.bundle.display())])?;
    write_new(&place, page.as_bytes()).map_err(|error| vec![error.to_string()])?;
    let outcomes = slos.evaluate(&bundle);
    let lines = outcomes.iter().map(|outcome| format!("{}\n", outcome.line()));
    let text = format!("Wrote {}.\n{}", place.display(), lines.collect::<String>());
    Ok(Answer { code: worst(Slos::codes(&outcomes)), ..Answer::fine(text) })
}

fn beside(bundle: &Path) -> PathBuf {
    if bundle.is_dir() { bundle.join(FILE_NAME) } else { bundle.with_file_name(FILE_NAME) }
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
            |bundle: &Path| ReportArgs { bundle: bundle.to_owned(), out: None, slo: SloArgs::default() };
        let page = folder.path().join(FILE_NAME);
        let (code, out) = told(args(&bundle));
        assert_eq!((code, out.stdout), (FINE, format!("Wrote {}.\n", page.display())));
        let written = std::fs::read_to_string(&page).unwrap();
        assert!(written.starts_with("<!DOCTYPE html>") && written.ends_with("</html>\n"));
        let (code, out) = told(args(folder.path()));
        assert_eq!(code, BAD_INPUT);
        assert!(out.stderr.contains("report.html exists already; nothing is overwritten"), "{out:?}");
        assert_eq!(std::fs::read_to_string(&page).unwrap(), written);
    }

    #[test]
    fn what_is_no_bundle_is_refused_in_a_line_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("cut.json");
        std::fs::write(&bundle, "{\"format\":\"trogdor-bundle\",\"ver").unwrap();
        let (code, out) = told(ReportArgs { bundle, out: None, slo: SloArgs::default() });
        assert_eq!((code, out.stderr.lines().count()), (BAD_INPUT, 1));
        assert!(out.stderr.contains("cut.json is not a whole bundle"), "{out:?}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

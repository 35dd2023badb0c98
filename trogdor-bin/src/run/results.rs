//! What a run leaves behind when it is asked to: the bundle, the document for build servers, and what became of its
//! SLOs. Whether there is a place for the files is looked at before anything starts.

use std::path::{Path, PathBuf};

use clap::Args;
use trogdor_core::api::CoordinatorApi;
use trogdor_core::{Catalog, TaskId};

use crate::cli::{Out, SloArgs, Slos};
use crate::results::slo::Outcome;
use crate::results::{Bundle, check_free, junit, write_new};

/// What is to be left behind.
#[derive(Debug, Clone, Default, Args)]
pub struct ResultArgs {
    /// Write all that was measured to this file, or to bundle.json in this folder; nothing is overwritten
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Write what came of tasks and SLOs to this file as JUnit XML; nothing is overwritten
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// What is expected of figures.
    #[command(flatten)]
    pub slo: SloArgs,
}

/// What is left behind, checked.
pub(super) struct Wanted<'a> {
    out: Option<&'a Path>,
    junit: Option<&'a Path>,
    slos: Slos,
}

impl<'a> Wanted<'a> {
    /// Checks it for a run of some tasks.
    ///
    /// # Errors
    /// All that is wrong, one line each.
    pub(super) fn check<'t>(
        args: &'a ResultArgs,
        tasks: impl Iterator<Item = &'t TaskId> + Clone,
    ) -> Result<Wanted<'a>, Vec<String>> {
        let place = args.out.as_deref().map(Bundle::place);
        let mut problems: Vec<_> = place
            .iter()
            .chain(&args.junit)
            .filter_map(|place| Some(check_free(place).err()?.to_string()))
            .collect();
        if let (Some(place), Some(junit)) = (&place, &args.junit)
            && place == junit
        {
            problems.push(format!("{} is wanted for two files; name two", place.display()));
        }
        match args.slo.read(tasks) {
            Ok(slos) if problems.is_empty() => {
                Ok(Wanted { out: args.out.as_deref(), junit: args.junit.as_deref(), slos })
            }
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    /// Gathers what the tasks recorded, writes the files, tells where, and gives what became of the SLOs. Nothing is
    /// gathered where nothing is wanted.
    ///
    /// # Errors
    /// What could not be written, one line each; the SLOs are told of all the same.
    pub(super) async fn gather(
        &self,
        coordinator: &dyn CoordinatorApi,
        catalog: &Catalog,
        out: &mut dyn Out,
    ) -> (Vec<Outcome>, Vec<String>) {
        if self.out.is_none() && self.junit.is_none() && self.slos.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let gathered = async {
            let now_ms = coordinator.uptime().await?.now_ms;
            Bundle::gather(coordinator, &[], catalog, now_ms).await
        };
        let bundle = match gathered.await {
            Ok(bundle) => bundle,
            Err(error) => return (Vec::new(), vec![format!("the results cannot be gathered: {error}")]),
        };
        let outcomes = self.slos.evaluate(&bundle);
        let mut problems = Vec::new();
        if let Some(path) = self.out {
            match bundle.write(path) {
                Ok(place) => out.err(&format!("trogdor run: wrote the results to {}\n", place.display())),
                Err(error) => problems.push(error.to_string()),
            }
        }
        if let Some(path) = self.junit {
            let states = bundle.tasks.iter().map(|(id, task)| (id, &task.state));
            match write_new(path, junit::document(states, &outcomes).as_bytes()) {
                Ok(()) => out.err(&format!("trogdor run: wrote the JUnit report to {}\n", path.display())),
                Err(error) => problems.push(error.to_string()),
            }
        }
        (outcomes, problems)
    }
}

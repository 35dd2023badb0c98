//! Whoever keeps what an agent remembers: one thread that does one thing after the other, in the order in which they were
//! asked for.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::past::{AgentStore, FormerWorker};
use crate::ids::{Term, WorkerId};

enum Job {
    Keep(FormerWorker, oneshot::Sender<Result<bool, String>>),
    Ended(FormerWorker),
    Forget(WorkerId),
    Term(Term, oneshot::Sender<Result<(), String>>),
}

/// The way to it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Keeper {
    /// Begins in the background, and ends when nobody can ask any more.
    pub(super) fn start(store: Arc<dyn AgentStore>, tasks: &mut JoinSet<()>) -> Keeper {
        let (jobs, mut asked) = mpsc::unbounded_channel();
        tasks.spawn_blocking(move || {
            while let Some(job) = asked.blocking_recv() {
                match job {
                    // Who asked may be gone.
                    Job::Keep(worker, reply) => drop(reply.send(store.keep(&worker))),
                    Job::Ended(worker) => store.ended(&worker),
                    Job::Forget(worker) => store.forget(worker),
                    Job::Term(term, reply) => drop(reply.send(store.keep_term(term))),
                }
            }
        });
        Keeper { jobs }
    }

    /// Keeps a worker; tells whether it was not kept already.
    pub(super) async fn keep(&self, worker: FormerWorker) -> Result<bool, String> {
        self.ask(|reply| Job::Keep(worker, reply)).await
    }

    pub(super) async fn keep_term(&self, term: Term) -> Result<(), String> {
        self.ask(|reply| Job::Term(term, reply)).await
    }

    pub(super) fn ended(&self, worker: FormerWorker) {
        // It only fails when the runtime ends.
        let _ = self.jobs.send(Job::Ended(worker));
    }

    pub(super) fn forget(&self, worker: WorkerId) {
        // As above.
        let _ = self.jobs.send(Job::Forget(worker));
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Job) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let gone = |_| "the agent is exiting".to_owned();
        self.jobs.send(job(reply)).map_err(|_| "the agent is exiting".to_owned())?;
        answer.await.map_err(gone)?
    }
}

//! Java programs that run to their end, such as Kafka's own command-line tools, with what they printed and what
//! they cost. No input, no streaming of output.

use std::{
    convert::Infallible,
    ffi::OsString,
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    cache::Cache,
    error::LabError,
    java::{Archive, Java, Program},
    jvm::Jvm,
    maven::{self, Artefact},
    scratch::Scratch,
    stat,
    wait::{Stopwatch, pause},
};

/// What became of a Java program.
#[derive(Clone, Debug)]
pub struct JavaOutput {
    /// Its exit code, 128 and more for signals.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained, and its log.
    pub stderr: String,
    /// User and system time of the JVM, in steps of 10 ms.
    pub cpu: Duration,
    /// From the start of the JVM to its end.
    pub wall: Duration,
    /// The most resident memory that it was seen to hold, looked at every few milliseconds.
    pub peak_rss_bytes: u64,
}

/// Kafka's command-line tools, `org.apache.kafka:kafka-tools`, with the compilers of a usual JVM.
#[derive(Clone, Debug)]
pub struct JavaTool {
    java: Java,
    class_path: String,
    heap: String,
    limit: Duration,
}

impl JavaTool {
    /// Runs one tool with a heap of 512 MB and ten minutes to end.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), trogdor_lab::LabError> {
    /// use trogdor_lab::JavaTool;
    /// let args = ["--bootstrap-server", "127.0.0.1:9092", "describe"];
    /// let output = JavaTool::run("4.3.1", "org.apache.kafka.tools.FeatureCommand", args).await?;
    /// println!("{} after {:?} of CPU time", output.stdout, output.cpu);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn run(
        version: &str,
        main_class: &str,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<JavaOutput, LabError> {
        Self::fetch(version).await?.exec(main_class, args).await
    }

    /// Fetches the tools of a version. (There were none for 4.4.0; those of 4.3.1 work with its broker.)
    pub async fn fetch(version: &str) -> Result<Self, LabError> {
        let cache = Cache::open()?;
        let java = Java::find().await?;
        let artefact = Artefact { name: "kafka-tools", version };
        let (class_path, _) = maven::class_path(&cache, &java, artefact).await?;
        Ok(Self { java, class_path, heap: "512m".to_owned(), limit: Duration::from_secs(600) })
    }

    /// The largest heap, as in `-Xmx`.
    #[must_use]
    pub fn heap(mut self, heap: impl Into<String>) -> Self {
        self.heap = heap.into();
        self
    }

    /// How long a tool may take before it is killed and [`LabError::TimedOut`] returned.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs one tool to its end. A non-zero exit code is no error here.
    pub async fn exec(
        &self,
        main_class: &str,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Result<JavaOutput, LabError> {
        let program = Program {
            class_path: &self.class_path,
            main_class,
            args: args.into_iter().map(Into::into).collect(),
            heap: &self.heap,
            c2: true,
            archive: Archive::None,
        };
        run(&self.java, &program, self.limit).await
    }
}

/// Runs a program in a directory of its own to its end.
pub(crate) async fn run(java: &Java, program: &Program<'_>, limit: Duration) -> Result<JavaOutput, LabError> {
    let scratch = Scratch::create("tool").await?;
    run_in(scratch, java, program, limit).await.map(|(output, _directory)| output)
}

/// Runs a program in `scratch`, which lives as long as the returned handle.
pub(crate) async fn run_in(
    scratch: Scratch,
    java: &Java,
    program: &Program<'_>,
    limit: Duration,
) -> Result<(JavaOutput, Jvm), LabError> {
    let command = java.command(program, scratch.path());
    let mut jvm = Jvm::prepare(program.main_class, scratch, &command, ["stdout", "stderr"])?;
    let watch = Stopwatch::start();
    jvm.start().await?;
    let (pid, peak_rss_bytes) = (jvm.pid(), AtomicU64::new(0));
    let exit = tokio::select! {
        exit = jvm.wait(limit) => exit?,
        never = keep_peak(pid, &peak_rss_bytes) => match never {},
    };
    let wall = watch.elapsed();
    let read = |name| {
        let bytes = fs::read(jvm.directory().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let Some(exit) = exit else {
        let what = format!("{} to end; its last words: {}", program.main_class, jvm.log_tail(10));
        return Err(LabError::TimedOut { what, limit });
    };
    let (stdout, stderr) = (read("stdout"), read("stderr"));
    let peak_rss_bytes = peak_rss_bytes.into_inner();
    Ok((JavaOutput { code: exit.code, stdout, stderr, cpu: exit.cpu, wall, peak_rss_bytes }, jvm))
}

/// Looks at a process until nobody wants that any more. One that has ended shows no memory.
async fn keep_peak(pid: Option<u32>, peak_bytes: &AtomicU64) -> Infallible {
    loop {
        let now_bytes = pid.and_then(stat::peak_rss_bytes).unwrap_or_default();
        peak_bytes.fetch_max(now_bytes, Ordering::Relaxed);
        pause().await;
    }
}

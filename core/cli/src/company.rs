//! Those who are told about the ports beside the reader of the lines: COMMAND, the command of `--on-change`, and the
//! service manager.

use portlease::{ErrorKind, LeaseSnapshot};

use crate::hook::Hook;
use crate::output::Output;
use crate::outside::Outside;
use crate::program::Program;
use crate::service::Service;
use crate::session::End;
use crate::signals::Heard;

/// What is told to them.
#[derive(Debug)]
pub(crate) struct News<'l> {
    pub(crate) leases: &'l [LeaseSnapshot],
    /// Whether it is known of each lease if it could be mapped at first.
    pub(crate) answered: bool,
    /// Whether each port is mapped now.
    pub(crate) mapped: bool,
    /// The same in words.
    pub(crate) summary: String,
}

/// COMMAND, the command of `--on-change`, and the service manager, as far as there are any.
#[derive(Debug)]
pub(crate) struct Company<'a> {
    output: &'a Output,
    program: Option<Program>,
    /// The program waits until all is mapped.
    when_mapped: bool,
    hook: Option<Hook>,
    service: Service,
}

impl<'a> Company<'a> {
    pub(crate) fn new(output: &'a Output, program: Option<Program>, when_mapped: bool, hook: Option<Hook>) -> Self {
        Self { output, program, when_mapped, hook, service: Service::find(output) }
    }

    pub(crate) fn program_runs(&self) -> bool {
        self.program.as_ref().is_some_and(Program::is_started)
    }

    /// Passes a signal on to the program. Answers whether there is one that runs.
    pub(crate) fn pass_on(&self, heard: Heard) -> bool {
        let program = self.program.as_ref().filter(|program| program.is_started());
        program.map(|program| program.pass_on(heard)).is_some()
    }

    /// Waits for the end of the program, and returns its exit status, or for the end of a run of `--on-change`.
    pub(crate) async fn next(&mut self) -> Option<u8> {
        let Self { program, hook, output, .. } = self;
        let program = async {
            match program {
                Some(program) => program.ended().await,
                None => std::future::pending().await,
            }
        };
        let hook = async {
            match hook {
                Some(hook) => hook.ended(output).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            status = program => Some(status),
            () = hook => None,
        }
    }

    /// Tells them how the ports are, and starts the program when it is time. Returns the end if that fails.
    pub(crate) fn tell(&mut self, news: News<'_>) -> Option<End> {
        self.service.tell(news.answered, news.summary);
        if !news.answered {
            return None;
        }
        let outside = Outside::of(news.leases);
        if let Some(hook) = &mut self.hook
            && let Err(error) = hook.look(&outside)
        {
            self.output.warning(&format!("on-change: the shell cannot be started: {error}"));
        }
        let program = self.program.as_mut().filter(|program| !program.is_started())?;
        if self.when_mapped && !news.mapped {
            return None;
        }
        match program.start(&outside) {
            Ok(()) => None,
            Err((status, why)) => {
                self.output.note(format!("portlease: map: {why}"));
                Some(End::Program(status))
            }
        }
    }

    /// Tells that the end has begun. A program that never ran makes it a failure.
    pub(crate) fn end(&self, end: End) -> End {
        self.service.stopping();
        match (end, &self.program) {
            (End::Signal, Some(program)) if !program.is_started() => {
                let how = format!("ended before {program} was started");
                self.output.note(format!("portlease: map: {how}"));
                self.output.failed(ErrorKind::Stopped, &how, None);
                End::Failed
            }
            (end, _) => end,
        }
    }
}

//! `statusguard-local up`: the playground, until Ctrl-C or until the user's command ends.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args as Group;
use statusguard::document;

use super::command::{self, EndSignals};
use super::console::{Console, told};
use super::playground::{Inputs, Playground};
use super::project;
use super::report::Reporter;
use super::sources::Sources;
use crate::User;

/// Exit codes of failures of the playground itself: alone, and beside a command, which may end with 1 itself.
const FAILED: u8 = 1;
const FAILED_BESIDE_COMMAND: u8 = 125;
/// Ended by Ctrl-C before there was anything to end.
const INTERRUPTED: u8 = 130;

/// Arguments of `up`.
#[derive(Group)]
#[command(after_help = "\
Exit codes: 0 ended by Ctrl-C, SIGTERM or SIGHUP; 1 the playground failed; 2 wrong usage; 130 ended before it was up.

With a command: the command's own exit code; 128 + N if signal N ended it; 125 the playground failed; 126 the command \
cannot be run; 127 there is no such command.")]
pub struct UpArgs {
    /// CustomResourceDefinitions to apply: a file, or a folder with *.yaml, *.yml and *.json. Applied again when they
    /// change. May be repeated. Default: those of kubernaut.ai, this project's example.
    #[arg(long, value_name = "PATH")]
    crds: Vec<PathBuf>,
    /// StatusPolicies to put in force: a file or a folder, as above. They may be about Kubernetes' own kinds, too. Read
    /// again when they change. May be repeated. Default: notificationrequests.kubernaut.ai; with --crds none.
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,
    /// Run this command, such as a controller or a test, and end with it. KUBECONFIG names the playground's admin and
    /// PATH begins with its kubectl. The playground itself then prints to standard error only. Signals are handed on.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What to play, and what to say about it.
struct Choice {
    inputs: Inputs,
    remark: &'static str,
    /// Whether it is this project's example.
    example: bool,
}

impl UpArgs {
    fn choice(&self) -> Result<Choice, document::Error> {
        let example = self.crds.is_empty() && self.policies.is_empty();
        let remark = match (self.crds.is_empty(), self.policies.is_empty()) {
            (true, true) => "No --crds and no --policies: this is the example, a NotificationRequest of kubernaut.ai.",
            (true, false) => "No --crds: Kubernetes' own kinds and those of kubernaut.ai are served.",
            (false, true) => {
                "No --policies: nothing is guarded. `statusguard policy init --crd FILE` writes a first policy."
            }
            (false, false) => "",
        };
        let crds = if self.crds.is_empty() { example_crds()? } else { self.crds.clone() };
        let policies = match example {
            true => vec![project("manifests/policies/kubernaut/notificationrequests.yaml")],
            false => self.policies.clone(),
        };
        let inputs = Inputs { crds: Sources::new(crds), policies: Sources::new(policies) };
        Ok(Choice { inputs, remark, example })
    }
}

/// The rendered CRDs of kubernaut.ai.
fn example_crds() -> Result<Vec<PathBuf>, document::Error> {
    let mut files = document::files(&project("manifests/rendered/kubernaut-crds"), false)?;
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("kubernaut.ai_")));
    Ok(files)
}

/// Runs the playground to its exit code. Everything that it started is gone then.
pub async fn run(args: UpArgs) -> u8 {
    let (console, failed) = match args.command.is_empty() {
        true => (Console::Alone, FAILED),
        false => (Console::BesideCommand, FAILED_BESIDE_COMMAND),
    };
    up(&args, console).await.unwrap_or_else(|error| {
        Console::BesideCommand.say(told(&error));
        failed
    })
}

async fn up(args: &UpArgs, console: Console) -> anyhow::Result<u8> {
    let mut signals = EndSignals::listen()?;
    let Choice { inputs, remark, example } = args.choice()?;
    if !remark.is_empty() {
        console.say(remark);
    }
    let mut playground = tokio::select! {
        started = Playground::start(inputs, console) => started?,
        _ = signals.next() => return Ok(INTERRUPTED),
    };
    let mut reporter = Reporter::new(console, playground.guard.refusals.clone());
    let mut child = None;
    if args.command.is_empty() {
        console.say(introduction(&playground, example));
    } else {
        match command::start(&args.command, &playground.plane) {
            Ok(started) => child = Some(started),
            Err(error) => {
                console.say(format!("cannot run {}: {error}", args.command[0].display()));
                playground.end().await?;
                return Ok(command::not_started(&error));
            }
        }
    }
    let ended = tokio::select! {
        code = async {
            match &mut child {
                Some(child) => command::wait(child, &mut signals).await,
                None => {
                    signals.next().await;
                    Ok(0)
                }
            }
        } => code,
        Err(error) = playground.follow() => Err(error),
        never = reporter.follow() => match never {},
    };
    reporter.report();
    playground.end().await?;
    ended
}

/// How to use what is up.
fn introduction(playground: &Playground, example: bool) -> String {
    let plane = &playground.plane;
    let kubeconfig = |user| plane.kubeconfig(user).display().to_string();
    let path = command::kubectl_folder(plane);
    let path = path.map(|folder| format!(" PATH={}:$PATH", folder.display())).unwrap_or_default();
    let commands = match (example, playground.enforced().first()) {
        (true, _) => EXAMPLE.to_owned(),
        (false, Some(document)) => format!(
            "Write a status, and see what the guard makes of it:\n\n  \
             kubectl patch {} NAME --subresource=status --type=merge -p '{{\"status\":{{...}}}}'\n",
            document.policy.name()
        ),
        (false, None) => String::new(),
    };
    format!(
        "
A real API server with the guard in front of it is up. In another terminal:

  export KUBECONFIG={admin}{path}

You are admin then. Alice and bob have all rights on the kinds with a CRD or a policy here, and no others:

  kubectl --as alice ...    or KUBECONFIG={alice}
  kubectl --as bob ...      or KUBECONFIG={bob}

{commands}
The files of your CRDs and policies are followed: change them, and see what is different. What the guard refuses, or
allows although a rule is broken, appears below. Ctrl-C stops everything and removes it.
",
        admin = kubeconfig(User::Admin),
        alice = kubeconfig(User::Alice),
        bob = kubeconfig(User::Bob),
    )
}

/// For the example: an object, a first phase that is not legal (422), two legal steps, and a step back (409).
const EXAMPLE: &str = r#"Create an object. Try a first phase that is not legal (422), then two legal steps, then a step back (409):

  echo '{"apiVersion": "kubernaut.ai/v1alpha1", "kind": "NotificationRequest", "metadata": {"name": "n1"},
    "spec": {"type": "Escalation", "subject": "Disk of node worker-2 is full", "body": "See the runbook."}}' |
    kubectl create -f -
  kubectl patch notif n1 --subresource=status --type=merge -p '{"status":{"phase":"Sent"}}'
  kubectl patch notif n1 --subresource=status --type=merge -p '{"status":{"phase":"Pending","totalAttempts":0}}'
  kubectl patch notif n1 --subresource=status --type=merge -p '{"status":{"phase":"Sending"}}'
  kubectl patch notif n1 --subresource=status --type=merge -p '{"status":{"phase":"Pending"}}'
"#;

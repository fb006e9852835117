//! Start, restart and end: a crash is real, a failed start says why, and nothing outlives the process that started it.
//!
//! A process that must die is this test's executable, started again to run [`victim`] alone.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, PostParams, WatchEvent, WatchParams};
use rustix::process::{Pid, Signal, kill_process_group};
use statusguard_tests::{ControlPlane, Options, User, WebhookService, eventually};

use super::{code, config_map};

/// Tells [`victim`] what to do; without it, it does nothing.
const ROLE: &str = "STATUSGUARD_TEST_VICTIM";

/// How an external cluster reaches this process.
const WEBHOOK_HOST: &str = "STATUSGUARD_WEBHOOK_HOST";

/// What the victim prints before its control plane's folder.
const FOLDER: &str = "folder: ";

/// Starts a control plane, says where it is, and then panics or waits to be killed; or uses an external cluster.
#[tokio::test]
#[ignore = "other tests start it in a process of its own"]
async fn victim() {
    let Ok(role) = env::var(ROLE) else { return };
    if role == "external" {
        return use_external_cluster().await;
    }
    let plane = ControlPlane::start(Options { api_servers: 2, ..Options::default() }).await.unwrap();
    println!("\n{FOLDER}{}", plane.folder().display());
    if role == "panic" {
        panic!("as told");
    }
    std::future::pending::<()>().await;
}

fn victim_command(role: &str) -> Command {
    let mut command = match role {
        "wait" => heeding_ctrl_c(),
        _ => Command::new(env::current_exe().unwrap()),
    };
    command
        .args(["--ignored", "--exact", "--nocapture", "lifetime::victim"])
        .env(ROLE, role)
        .env_remove("STATUSGUARD_USE_CLUSTER")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// This program. What a script starts in the background ignores Ctrl-C, and so does all that it starts in turn,
/// unless GNU's `env` is there to say otherwise.
fn heeding_ctrl_c() -> Command {
    const HEED: &str = "--default-signal=INT";
    let program = env::current_exe().unwrap();
    match Command::new("env").args([HEED, "true"]).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => {
            let mut command = Command::new("env");
            command.arg(HEED).arg(program);
            command
        }
        _ => Command::new(program),
    }
}

/// The folder that a victim's control plane is in.
fn folder_of(output: &mut BufReader<ChildStdout>) -> PathBuf {
    let mut lines = output.lines().map(Result::unwrap);
    let folder = lines.find_map(|line| line.strip_prefix(FOLDER).map(PathBuf::from));
    folder.expect("the victim says where its control plane is")
}

/// The command lines of all processes that name a folder: components, supervisors and the janitor all do.
fn processes_in(folder: &Path) -> Vec<String> {
    let all = Command::new("ps").args(["-axww", "-o", "command="]).output();
    let commands: Vec<String> = match fs::read_dir("/proc") {
        Ok(entries) => entries
            .filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
            .collect(),
        Err(_) => String::from_utf8(all.unwrap().stdout).unwrap().lines().map(str::to_owned).collect(),
    };
    let folder = folder.to_str().unwrap();
    commands.into_iter().filter(|command| command.contains(folder)).collect()
}

/// Three components with a supervisor each (and its watcher), and the janitor.
fn assert_runs(folder: &Path) {
    let running = processes_in(folder);
    let count = |name: &str| {
        let program = |command: &&String| command.split(' ').next().is_some_and(|path| path.ends_with(name));
        running.iter().filter(program).count()
    };
    assert_eq!((count("/etcd"), count("/kube-apiserver")), (1, 2), "{running:#?}");
    assert!(count("/sh") >= 4, "{running:#?}");
}

async fn assert_gone(folder: &Path) {
    eventually("nothing is left of the control plane", async || {
        let left = processes_in(folder);
        anyhow::ensure!(left.is_empty(), "{left:#?}");
        anyhow::ensure!(!folder.exists(), "{} exists", folder.display());
        Ok(true)
    })
    .await
    .unwrap();
}

fn text_of(mut stream: impl std::io::Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn dropping_ends_everything() {
    let plane = ControlPlane::start(Options { api_servers: 2, ..Options::default() }).await.unwrap();
    let folder = plane.folder().to_owned();
    assert_runs(&folder);
    drop(plane);
    // At once, not some time later.
    assert_eq!(processes_in(&folder), Vec::<String>::new());
    assert!(!folder.exists());
}

/// Starts a victim, lets `kill` end it, and sees that nothing remains.
async fn assert_nothing_survives(kill: impl FnOnce(&mut Child), signal: i32) {
    // A process group of its own, as a shell gives to what it runs in the foreground.
    let mut victim = victim_command("wait").process_group(0).spawn().unwrap();
    let folder = folder_of(&mut BufReader::new(victim.stdout.take().unwrap()));
    assert_runs(&folder);
    kill(&mut victim);
    assert_eq!(victim.wait().unwrap().signal(), Some(signal));
    assert_gone(&folder).await;
}

#[tokio::test]
async fn nothing_survives_a_killed_parent() {
    assert_nothing_survives(|victim| victim.kill().unwrap(), 9).await;
}

#[tokio::test]
async fn nothing_survives_ctrl_c() {
    let interrupt = |victim: &mut Child| kill_process_group(Pid::from_child(victim), Signal::INT).unwrap();
    assert_nothing_survives(interrupt, 2).await;
}

#[tokio::test]
async fn a_panic_shows_the_logs_and_leaves_nothing() {
    let mut victim = victim_command("panic").spawn().unwrap();
    let mut output = BufReader::new(victim.stdout.take().unwrap());
    let folder = folder_of(&mut output);
    let printed = text_of(victim.stderr.take().unwrap());
    assert!(!victim.wait().unwrap().success());
    for heading in ["==== etcd, last lines ====", "==== kube-apiserver 1, last lines ===="] {
        let (_, log) = printed.split_once(heading).unwrap_or_else(|| panic!("no {heading:?} in {printed}"));
        assert!(log.lines().nth(1).is_some_and(|line| !line.starts_with("====")), "{printed}");
    }
    assert_gone(&folder).await;
}

#[tokio::test]
async fn a_restarted_server_has_its_data_but_not_its_history() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let (namespace, url) = (plane.namespace("restart").await, plane.url(0));
    let api = Api::<ConfigMap>::namespaced(plane.client(User::Admin), &namespace);
    let first = api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    api.create(&PostParams::default(), &config_map("b", "1")).await.unwrap();

    plane.stop_api_server(0).unwrap();
    assert!(!matches!(api.get("a").await, Ok(_) | Err(kube::Error::Api(_))), "a killed server does not answer");
    plane.start_api_server(0).await.unwrap();
    assert_eq!(plane.url(0), url);
    assert_eq!(api.get("a").await.unwrap(), first);

    let since = first.metadata.resource_version.unwrap();
    let events = api.watch(&WatchParams::default(), &since).await.unwrap();
    match std::pin::pin!(events).try_next().await.unwrap() {
        Some(WatchEvent::Error(status)) => assert_eq!((status.code, &*status.reason), (410, "Expired")),
        other => panic!("the history should be gone: {other:?}"),
    }
    plane.restart_api_server(0).await.unwrap();
    assert!(plane.stop_api_server(1).unwrap_err().to_string().contains("none is number 1"));
}

/// Runs a victim that cannot start, and returns what it says.
fn failed_start(prepare: impl FnOnce(&mut Command)) -> String {
    let mut command = victim_command("fail");
    prepare(&mut command);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// A shell script in the place of a program.
fn write_script(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn without_go_and_programs_the_error_names_three_ways_out() {
    let empty = tempfile::tempdir().unwrap();
    let said = failed_start(|victim| {
        victim.env_remove("KUBEBUILDER_ASSETS").env("XDG_CACHE_HOME", empty.path()).env("PATH", empty.path());
    });
    for way in ["no Go to build one with", "install Go 1.21", "KUBEBUILDER_ASSETS", "STATUSGUARD_USE_CLUSTER=1"] {
        assert!(said.contains(way), "no {way:?} in {said}");
    }
}

#[test]
fn an_old_go_is_told_from_none() {
    let folder = tempfile::tempdir().unwrap();
    write_script(&folder.path().join("go"), "echo go1.19.8");
    let said = failed_start(|victim| {
        victim.env_remove("KUBEBUILDER_ASSETS").env("XDG_CACHE_HOME", folder.path()).env("PATH", folder.path());
    });
    assert!(said.contains("go1.19.8 is too old"), "{said}");
    assert!(said.contains("STATUSGUARD_USE_CLUSTER=1"), "{said}");
}

#[test]
fn a_failed_build_shows_its_last_words_and_fills_no_cache() {
    let folder = tempfile::tempdir().unwrap();
    let script = "[ \"$1\" = env ] && { echo go1.26.8; exit; }\necho 'no space left on device' >&2; exit 1";
    write_script(&folder.path().join("go"), script);
    let said = failed_start(|victim| {
        victim.env_remove("KUBEBUILDER_ASSETS").env("XDG_CACHE_HOME", folder.path()).env("PATH", folder.path());
    });
    assert!(said.contains("no space left on device"), "{said}");
    let cache = folder.path().join("statusguard/controlplane");
    let names: Vec<String> =
        fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| name.ends_with(".lock") || name.ends_with(".partial")), "{names:?}");
}

#[test]
fn processes_that_start_together_build_once() {
    let folder = tempfile::tempdir().unwrap();
    let builds = folder.path().join("builds");
    let script = format!(
        "[ \"$1\" = env ] && {{ echo go1.26.8; exit; }}
         [ \"$1\" = list ] && {{ echo fmt; exit; }}
         echo built >>{}
         sleep 1 # so that a second build would begin before this one ends
         while [ \"$1\" != -o ]; do shift; done
         for name in etcd kube-apiserver kubectl; do
           printf '#!/bin/sh\\necho not the real %s; exit 7\\n' \"$name\" >\"$2/$name\"
           chmod +x \"$2/$name\"
         done",
        builds.display()
    );
    write_script(&folder.path().join("go"), &script);
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let said = failed_start(|victim| {
                    victim.env_remove("KUBEBUILDER_ASSETS").env("XDG_CACHE_HOME", folder.path()).env("PATH", &path);
                });
                // All three come past the build and run what it made.
                assert!(said.contains("not the real etcd"), "{said}");
            });
        }
    });
    assert_eq!(fs::read_to_string(builds).unwrap(), "built\n");
}

#[test]
fn missing_programs_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let said = failed_start(|victim| {
        victim.env("KUBEBUILDER_ASSETS", empty.path());
    });
    assert!(said.contains(&format!("{} is missing", empty.path().join("etcd").display())), "{said}");
}

#[test]
fn a_component_that_ends_at_once_is_quoted() {
    let assets = tempfile::tempdir().unwrap();
    write_script(&assets.path().join("etcd"), "echo 'cannot open the moon'; exit 7");
    write_script(&assets.path().join("kube-apiserver"), "exit 0");
    write_script(&assets.path().join("kubectl"), "exit 0");
    let said = failed_start(|victim| {
        victim.env("KUBEBUILDER_ASSETS", assets.path());
    });
    assert!(said.contains("etcd ended with exit status: 7"), "{said}");
    assert!(said.contains("cannot open the moon"), "{said}");
}

#[tokio::test]
async fn an_external_cluster_takes_the_place() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let kubectl = plane.kubectl(User::Admin);
    let assets = Path::new(kubectl.get_program()).parent().unwrap();
    let hosts = [None, Some("localhost"), Some("192.0.2.1")];
    for host in hosts {
        let mut victim = victim_command("external");
        victim
            .env("STATUSGUARD_USE_CLUSTER", "1")
            .env("KUBECONFIG", plane.kubeconfig(User::Admin))
            .env("KUBEBUILDER_ASSETS", assets)
            .env_remove(WEBHOOK_HOST);
        host.map(|host| victim.env(WEBHOOK_HOST, host));
        let output = victim.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let namespaces = Api::<Namespace>::all(plane.client(User::Admin));
    let made = namespaces.list(&ListParams::default().labels("statusguard.dev/test=true")).await.unwrap();
    assert_eq!(made.items.len(), hosts.len(), "each process made its namespace here");
}

/// What [`an_external_cluster_takes_the_place`] has done in a process of its own.
async fn use_external_cluster() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    assert!(plane.is_external());
    let namespace = plane.namespace("external").await;
    let api = Api::<ConfigMap>::namespaced(plane.client(User::Admin), &namespace);
    api.create(&PostParams::default(), &config_map("a", "1")).await.unwrap();
    let api = Api::<ConfigMap>::namespaced(plane.client(User::Alice), &namespace);
    assert_eq!(code(api.get("a").await), 403);
    let mut kubectl = plane.kubectl(User::Alice);
    let output = kubectl.args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "alice", "{output:?}");

    let refusal = |error: anyhow::Error| format!("{error:#}");
    let service = WebhookService { namespace: namespace.clone(), name: "guard".to_owned(), port: 8443 };
    let applied = plane.apply_webhook_service(&service).await;
    match env::var(WEBHOOK_HOST).as_deref() {
        Err(_) => {
            let said = refusal(applied.unwrap_err());
            assert!(said.contains(WEBHOOK_HOST), "{said}");
        }
        Ok("localhost") => {
            applied.unwrap();
            let services = Api::<Service>::namespaced(plane.client(User::Admin), &namespace);
            let spec = services.get("guard").await.unwrap().spec.unwrap();
            assert_eq!(spec.type_.as_deref(), Some("ExternalName"));
            assert_eq!(spec.external_name.as_deref(), Some("localhost"));
        }
        Ok(address) => {
            applied.unwrap();
            let slices = Api::<EndpointSlice>::namespaced(plane.client(User::Admin), &namespace);
            let slices = slices.list(&ListParams::default().labels("kubernetes.io/service-name=guard")).await.unwrap();
            let slice = &slices.items[0];
            assert_eq!(slice.endpoints[0].addresses, [address]);
            assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8443));
        }
    }
    let said = refusal(plane.restart_api_server(0).await.unwrap_err());
    assert!(said.contains("unset STATUSGUARD_USE_CLUSTER"), "{said}");
    let options = Options { stale_second: true, ..Options::default() };
    let Err(error) = ControlPlane::start(options).await else { panic!("an external cluster has one API server") };
    assert!(refusal(error).contains("starts API servers of its own"));
}

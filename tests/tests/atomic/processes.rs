//! Several processes: this test's own executable, started again.

use std::process::Stdio;

use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use statusguard_tests::User;
use tokio::process::Command;

use crate::tally::{Answers, Bench, RawTally, builder, storm};

const PROCESSES: usize = 10;
const TASKS: usize = 10;
const UPDATES: usize = 5;

const KUBECONFIG: &str = "ATOMIC_WORKER_KUBECONFIG";
const NAMESPACE: &str = "ATOMIC_WORKER_NAMESPACE";
/// What a worker writes before its answers.
const MARK: &str = "answers: ";

#[tokio::test]
async fn ten_processes_with_ten_tasks_each_lose_nothing() {
    let bench = Bench::shared().await;
    bench.create("shared").await;
    let kubeconfig = bench.plane.kubeconfig(User::Admin);
    let workers: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "processes::worker", "--ignored", "--nocapture"])
                .env(KUBECONFIG, &kubeconfig)
                .env(NAMESPACE, &bench.namespace)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        })
        .collect();
    let mut all = Answers::default();
    for worker in workers {
        let output = worker.wait_with_output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let answers = text.lines().find_map(|line| line.split_once(MARK)).map(|(_, answers)| answers);
        let Some(answers) = answers.filter(|_| output.status.success()) else {
            panic!("{}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
        };
        all = all.merge(serde_json::from_str(answers).unwrap());
    }
    all.all_acknowledged(PROCESSES * TASKS * UPDATES);
    bench.check("shared", &all).await;
}

#[tokio::test]
#[ignore = "one of the processes that the test above starts"]
async fn worker() {
    let kubeconfig = Kubeconfig::read_from(std::env::var(KUBECONFIG).unwrap()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let client = Client::try_from(config).unwrap();
    let api = Api::<RawTally>::namespaced(client.clone(), &std::env::var(NAMESPACE).unwrap());
    let object = api.get("shared").await.unwrap().into();
    let writer = builder(client).build().unwrap();
    let answers = storm(&writer, &object, TASKS, UPDATES).await;
    println!("{MARK}{}", serde_json::to_string(&answers).unwrap());
}

//! `uninstall` and `certs status` where there is no cluster to ask.

use crate::run;

#[test]
fn without_a_terminal_uninstall_wants_to_be_told() {
    let ran = run(&["uninstall", "--kubeconfig", "nowhere.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    assert!(ran.err.contains("say --yes"), "{}", ran.err);
}

#[test]
fn a_cluster_that_cannot_be_found_is_a_failure_with_its_cause() {
    for command in [&["uninstall", "--yes"][..], &["certs", "status"]] {
        let ran = run(&[command, &["--kubeconfig", "nowhere.yaml"]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        assert!(ran.err.contains("nowhere.yaml") && ran.err.contains("No such file"), "{}", ran.err);
    }
}

#[test]
fn an_address_has_a_port() {
    let ran = run(&["certs", "status", "--address", "localhost"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("a host and a port are expected"), "{}", ran.err);
}

//! The runner notices a testee that does wrong, and a machine without IPv6. Each testee is Rust's, most with sed between it and the
//! runner.

use std::process::Command;

const TESTEE: &str = env!("CARGO_BIN_EXE_portlease-testee");

/// Plays one scenario. Gives the runner's status and output.
fn play(testee: &str, patience: &str, scenario: &str) -> (bool, String) {
    let runner = Command::new(env!("CARGO_BIN_EXE_portlease-scenarios"))
        .args(["--testee", testee, "--patience", patience, scenario])
        .output()
        .expect("the runner starts");
    (runner.status.success(), String::from_utf8_lossy(&[runner.stdout, runner.stderr].concat()).into_owned())
}

/// A testee whose answers are edited.
fn edited(script: &str) -> String {
    format!("{TESTEE} | sed -u '{script}'")
}

/// A testee that reads nonsense in the place of the third command, so that it ends.
fn dying() -> String {
    format!("bash -c 'exec {TESTEE} < <(sed -u 3s/.*/nonsense/)'")
}

fn notices(testee: &str, complaint: &str) {
    let (passed, output) = play(testee, "60", "external_port_granted_pcp:");
    assert!(!passed && output.contains(complaint), "expected {complaint:?} in\n{output}");
}

#[test]
fn a_right_testee_passes() {
    let (passed, output) = play(TESTEE, "60", "external_port_granted_pcp:");
    assert!(passed && output.contains("1 passed"), "{output}");
}

#[test]
fn a_wrong_value() {
    notices(&edited("s/192.0.1.1:4100/192.0.1.1:4101/"), r#"expected "192.0.1.1:4100", got "192.0.1.1:4101""#);
}

#[test]
fn a_success_that_was_a_failure() {
    notices(
        &edited(
            r#"s/"result":{.*/"error":{"kind":"refused","message":"no","details":[],"advice":null,"retry_after":null}}/"#,
        ),
        r#"it failed: {"advice":null"#,
    );
}

#[test]
fn a_missing_field() {
    notices(&edited(r#"s/"permanent":false,//"#), "the field `permanent` is missing");
}

#[test]
fn an_extra_field() {
    notices(&edited(r#"s/"permanent":false/&,"colour":"red"/"#), "there is an extra field `colour`");
}

#[test]
fn a_field_of_another_type() {
    notices(&edited(r#"s/"renewals":0/"renewals":"0"/"#), "renewals: \"0\" is none of: whole number");
}

#[test]
fn a_text_that_is_none_of_its_list() {
    notices(&edited(r#"s/"state":"installed"/"state":"done"/"#), "state: \"done\" is none of: states");
}

#[test]
fn a_stop_that_answers_with_a_boolean() {
    notices(
        &edited(r#"s/"result":"released"/"result":true/"#),
        "the answer to `stop_mapper` is malformed: true is none of: releases",
    );
}

#[test]
fn an_answer_that_never_comes() {
    let (passed, output) = play(&edited(r#"/"permanent"/d"#), "1", "external_port_granted_pcp:");
    assert!(!passed && output.contains("the testee does not answer within 11s"), "{output}");
}

#[test]
fn an_end_in_the_middle() {
    notices(&dying(), "the testee has ended; the end of its stderr:\n    \n    thread 'main'");
    notices(&dying(), "the testee ended with exit status: 101");
}

#[test]
fn a_line_that_is_no_json() {
    notices(&edited(r#"/"permanent"/s/.*/hello/"#), "the testee said what is no answer: hello");
}

#[test]
fn an_answer_to_nobody() {
    notices(&edited(r#"/"permanent"/s/"id":/&9/"#), "the testee said what is no answer: {");
}

#[test]
fn a_result_and_an_error_at_once() {
    notices(&edited(r#"/"permanent"/s/"id"/"error":null,&/"#), "the testee said what is no answer: {");
}

#[test]
fn what_it_cannot_do() {
    notices(&edited(r#"s/"result":{.*/"unsupported":"ready"}/"#), "the testee cannot do it: \"ready\"");
}

#[test]
fn a_bad_status_at_the_end() {
    notices(&format!("sh -c '{TESTEE}; exit 7'"), "the testee ended with exit status: 7");
}

#[test]
fn a_broken_testee_is_not_what_must_fail() {
    let (passed, output) = play(&dying(), "60", "must fail: wrong_value");
    assert!(!passed && output.contains("the testee has ended"), "{output}");
}

/// Plays a scenario for IPv6 in a network without it. `None`, and a line that says so, if this machine makes no such network.
fn play_without_ipv6(more: &str) -> Option<(bool, String)> {
    let disabled = "ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 || exit 77; exec \"$@\"";
    let runner = env!("CARGO_BIN_EXE_portlease-scenarios");
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", disabled, "sh", runner, "--testee", TESTEE, "pinhole_pcp_udp:"])
        .args(more.split_whitespace())
        .output();
    match output {
        Ok(output) if output.status.code().is_some_and(|code| code != 77) => {
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            if said.contains("unshare failed") { skipped(&said) } else { Some((output.status.success(), said)) }
        }
        other => skipped(&format!("{other:?}")),
    }
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped<T>(reason: &str) -> Option<T> {
    eprintln!("skipped: no network without IPv6: {}", reason.trim());
    None
}

#[test]
fn without_ipv6_what_needs_it_is_skipped_and_the_reason_said() {
    let Some((passed, output)) = play_without_ipv6("") else { return };
    assert!(passed && output.contains("1 ignored"), "{output}");
    assert!(output.contains("scenarios: those for IPv6 are skipped: "), "{output}");
}

#[test]
fn without_ipv6_what_needs_it_and_is_played_all_the_same_fails_for_that() {
    let Some((passed, output)) = play_without_ipv6("--include-ignored") else { return };
    assert!(!passed && output.contains("the scenario needs IPv6, and the gateway has none: "), "{output}");
}

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use super::*;

#[derive(Parser, Debug)]
#[command(name = "keelson-test")]
struct Test {
    #[command(flatten)]
    common: Common,
    /// Elect a leader
    #[arg(long)]
    leader_elect: bool,
    /// On by default
    #[arg(long, default_value = "true", action = ArgAction::Set)]
    profiling: bool,
    #[arg(long, default_value = "node")]
    name: String,
    #[arg(long = "client-ca-file")]
    client_ca_file: Option<PathBuf>,
    #[arg(long, value_delimiter = ',')]
    etcd_servers: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    node_labels: Vec<String>,
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    #[arg(long, default_value = "15s")]
    leader_elect_lease_duration: String,
    #[arg(long, default_value_t = 0)]
    conntrack_max_per_core: u32,
}

impl Flags for Test {
    fn common(&self) -> &Common {
        &self.common
    }
}

fn parse(args: &[&str]) -> Result<Test, Error> {
    parse_from(["keelson-test"].iter().chain(args).map(OsString::from).collect())
}

fn with_file(yaml: &str, args: &[&str]) -> Result<Test, Error> {
    let path = std::env::temp_dir().join(format!("keelson-cli-{}-{:p}.yaml", std::process::id(), &yaml));
    let mut file = std::fs::File::create(&path).expect("a config file");
    file.write_all(yaml.as_bytes()).expect("written");
    let config = format!("--config={}", path.display());
    let mut all = vec![config.as_str()];
    all.extend(args);
    let parsed = parse(&all);
    std::fs::remove_file(&path).expect("removed");
    parsed
}

#[test]
fn booleans_are_as_in_go() {
    assert!(!parse(&[]).expect("valid").leader_elect);
    assert!(parse(&["--leader-elect"]).expect("valid").leader_elect);
    assert!(!parse(&["--leader-elect=false"]).expect("valid").leader_elect);
    assert!(parse(&["--leader-elect", "--name", "x"]).expect("valid").leader_elect);
    assert!(!parse(&["--profiling=false"]).expect("valid").profiling);
}

#[test]
fn go_spellings_are_understood() {
    assert_eq!(parse(&["-name", "a"]).expect("valid").name, "a");
    assert_eq!(parse(&["--etcd_servers=a,b"]).expect("valid").etcd_servers, ["a", "b"]);
    assert_eq!(parse(&["-v=4"]).expect("valid").common.v, 4);
    assert_eq!(parse(&["--v=2"]).expect("valid").common.v, 2);
}

#[test]
fn unknown_flag_names_the_nearest() {
    let error = parse(&["--leader-elct"]).expect_err("unknown").to_string();
    assert!(error.contains("--leader-elct; did you mean --leader-elect?"), "{error}");
}

#[test]
fn file_sets_what_flags_leave_open() {
    let yaml = "apiVersion: keelson.io/v1\nkind: Test\nleaderElect: true\nname: file\nclientCAFile: /ca\n\
                etcd-servers: [a, b]\nnodeLabels: {x: 1, y: z}\nv: 5\n";
    let flags = with_file(yaml, &["--name=flag"]).expect("valid");
    assert!(flags.leader_elect);
    assert_eq!(flags.name, "flag");
    assert_eq!(flags.client_ca_file, Some(PathBuf::from("/ca")));
    assert_eq!(flags.etcd_servers, ["a", "b"]);
    assert_eq!(flags.node_labels, ["x=1", "y=z"]);
    assert_eq!(flags.common.v, 5);
}

#[test]
fn upstreams_nested_files_are_read_as_far_as_the_settings_exist() {
    let kubelet = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication:\n  x509:\n    \
                   clientCAFile: /pki/ca.crt\n  webhook:\n    cacheTTL: 0s\nlogging:\n  verbosity: 3\n  flushFrequency: 0\n\
                   nodeLabels: {a: b}\nsyncFrequency: 0s\nmemorySwap: {}\n";
    let flags = with_file(kubelet, &[]).expect("what nobody set is passed over");
    assert_eq!(flags.client_ca_file, Some(PathBuf::from("/pki/ca.crt")));
    assert_eq!((flags.common.v, flags.node_labels), (3, vec!["a=b".to_owned()]));
    let asked = kubelet.replace("cacheTTL: 0s", "cacheTTL: 2m");
    let refused = with_file(&asked, &[]).expect_err("there is no such setting").to_string();
    assert!(refused.contains("line 7: unknown key \"authentication.webhook.cacheTTL\""), "{refused}");
    let ours = kubelet.replace("kubelet.config.k8s.io/v1beta1", "keelson.io/v1");
    assert!(with_file(&ours, &[]).is_err(), "in our own files every key is a setting");

    let proxy = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclientConnection:\n  \
                 kubeconfig: /etc/proxy.conf\n  qps: 0\nconntrack: {maxPerCore: 7}\nleaderElection: {leaderElect: true, \
                 leaseDuration: 20s}\n";
    let flags = with_file(proxy, &[]).expect("valid");
    assert_eq!(flags.kubeconfig, Some(PathBuf::from("/etc/proxy.conf")));
    assert!(flags.leader_elect);
    assert_eq!((flags.leader_elect_lease_duration.as_str(), flags.conntrack_max_per_core), ("20s", 7));
}

#[test]
fn list_on_the_command_line_replaces_the_files() {
    let flags = with_file("etcdServers: [a, b]\n", &["--etcd-servers=c"]).expect("valid");
    assert_eq!(flags.etcd_servers, ["c"]);
}

#[test]
fn unknown_key_names_line_and_nearest() {
    let error = with_file("name: a\nleaderElekt: true\n", &[]).expect_err("unknown").to_string();
    assert!(error.contains("line 2: unknown key \"leaderElekt\"; did you mean leaderElect?"), "{error}");
}

#[test]
fn bad_files_are_refused_with_the_place() {
    for (yaml, part) in [
        ("- a\n", "must be a map"),
        ("name: [\n", "line"),
        ("name: a\nname: b\n", "duplicate"),
        ("leaderElect: maybe\n", "maybe"),
        ("name: {a: {b: c}}\n", "flat map"),
        ("group: {a: {b: c}}\n", "unknown key \"group.a.b\""),
    ] {
        let error = with_file(yaml, &[]).expect_err(yaml).to_string();
        assert!(error.contains(part), "{yaml}: {error}");
    }
    let error = parse(&["--config=/nowhere/x.yaml"]).expect_err("no file").to_string();
    assert!(error.contains("/nowhere/x.yaml"), "{error}");
}

#[test]
fn help_is_grouped() {
    let Err(Error::Clap(help)) = parse(&["--help"]) else { panic!("help is clap's") };
    assert!(help.to_string().contains("Process:"), "{help}");
}

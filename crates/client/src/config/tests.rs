use super::*;

fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {{cluster: c, user: u, namespace: n}}\n\
         clusters:\n- name: c\n  cluster: {cluster}\nusers:\n- name: u\n  user: {user}\n"
    )
}

fn parse(text: &str) -> Result<Config, Error> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("config");
    std::fs::write(&path, text).expect("written");
    Config::from_kubeconfig(&path)
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let error = parse(text).expect_err(part).to_string();
    assert!(error.contains(part), "{part:?} in {error:?}");
}

#[test]
fn inline_data_is_decoded_and_paths_are_relative_to_the_file() {
    let config = parse(&kubeconfig(
        "{server: 'https://a:6443', certificate-authority-data: aGVsbG8=, tls-server-name: kubernetes}",
        "{client-certificate: me.crt, client-key: /abs/me.key}",
    ))
    .expect("valid");
    assert_eq!(config.servers, ["https://a:6443"]);
    assert_eq!(config.ca, Some(Data::Inline(b"hello".to_vec())));
    assert_eq!(config.server_name.as_deref(), Some("kubernetes"));
    assert_eq!(config.namespace, "n");
    let Credentials::Certificate { cert: Data::File(cert), key: Data::File(key) } = config.credentials else {
        panic!("a certificate");
    };
    assert!(cert.is_absolute() && cert.ends_with("me.crt"));
    assert_eq!(key, PathBuf::from("/abs/me.key"));
}

#[test]
fn tokens_and_insecure_servers() {
    let config =
        parse(&kubeconfig("{server: 'https://a', insecure-skip-tls-verify: true}", "{token: secret}")).expect("valid");
    assert!(config.insecure);
    assert_eq!(config.credentials, Credentials::Token(Data::Inline(b"secret".to_vec())));
    let config = parse(&kubeconfig("{server: 'http://a'}", "{tokenFile: /t}")).expect("valid");
    assert_eq!(config.credentials, Credentials::Token(Data::File("/t".into())));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_mend() {
    let plain = "{server: 'http://a'}";
    refused(&kubeconfig(plain, "{exec: {command: x}}"), "exec plugins are not supported");
    refused(&kubeconfig(plain, "{auth-provider: {name: gcp}}"), "auth-provider is not supported");
    refused(&kubeconfig(plain, "{client-certificate: a}"), "no client key");
    refused(&kubeconfig(plain, "{client-key-data: '%'}"), "no base64");
    refused(&kubeconfig("{server: 'https://a'}", "{}"), "certificate-authority");
    refused(&kubeconfig("{}", "{}"), "has no server");
    refused("current-context: b\ncontexts: [{name: a}]\n", "context \"b\" is not defined; defined are: a");
    refused("contexts: [{name: a}]\n", "no current-context");
    refused("current-context: [\n", "config");
}

#[test]
fn first_file_of_a_list_wins_and_missing_ones_are_skipped() {
    let dir = tempfile::tempdir().expect("a directory");
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&a, "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n").expect("written");
    std::fs::write(
        &b,
        "current-context: y\ncontexts: [{name: x, context: {cluster: d}}]\nclusters: [{name: c, cluster: {server: 'http://c'}}]\n",
    )
    .expect("written");
    let merged = Kubeconfig::read(&[a, dir.path().join("none"), b]).expect("valid");
    assert_eq!(merged.current_context, "x");
    assert_eq!(merged.config(None).expect("valid").servers, ["http://c"]);
    assert!(merged.config(Some("z")).is_err());
}

#[test]
fn search_order_is_kubectls() {
    let home = Some(PathBuf::from("/home/x/.kube/config"));
    let list = std::ffi::OsString::from("/a::/b");
    assert_eq!(search(Some(Path::new("/f")), Some(&list), home.clone()), [PathBuf::from("/f")]);
    assert_eq!(search(None, Some(&list), home.clone()), [PathBuf::from("/a"), PathBuf::from("/b")]);
    assert_eq!(search(None, None, home.clone()), [PathBuf::from("/home/x/.kube/config")]);
}

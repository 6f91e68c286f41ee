//! Certificates, tokens and passwords.

use std::path::PathBuf;

use super::ConfigError;
use crate::auth::login::{Login, Provider};
use crate::auth::password;

#[derive(Clone, Debug, clap::Args)]
pub struct SecurityFlags {
    /// Certificate shown to clients.
    #[arg(long, value_name = "FILE", requires = "key_file", env = "ETCD_CERT_FILE", help_heading = "Security")]
    pub cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert_file", env = "ETCD_KEY_FILE", help_heading = "Security")]
    pub key_file: Option<PathBuf>,
    /// Only clients with a certificate of --trusted-ca-file are served; that file alone is enough, too.
    #[arg(long, env = "ETCD_CLIENT_CERT_AUTH", help_heading = "Security")]
    pub client_cert_auth: bool,
    /// CA of the clients.
    #[arg(long, value_name = "FILE", env = "ETCD_TRUSTED_CA_FILE", help_heading = "Security")]
    pub trusted_ca_file: Option<PathBuf>,
    /// Only clients whose certificate is valid for one of these hosts are served.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        env = "ETCD_CLIENT_CERT_ALLOWED_HOSTNAME",
        help_heading = "Security"
    )]
    pub client_cert_allowed_hostname: Vec<String>,
    /// Certificate shown to other members, as server and as client.
    #[arg(
        long,
        value_name = "FILE",
        requires = "peer_key_file",
        env = "ETCD_PEER_CERT_FILE",
        help_heading = "Security"
    )]
    pub peer_cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(
        long,
        value_name = "FILE",
        requires = "peer_cert_file",
        env = "ETCD_PEER_KEY_FILE",
        help_heading = "Security"
    )]
    pub peer_key_file: Option<PathBuf>,
    /// Only members with a certificate of --peer-trusted-ca-file are served; that file alone is enough, too.
    #[arg(long, env = "ETCD_PEER_CLIENT_CERT_AUTH", help_heading = "Security")]
    pub peer_client_cert_auth: bool,
    /// What tokens of users are: simple, or jwt,sign-method=METHOD,pub-key=FILE,priv-key=FILE,ttl=DURATION.
    #[arg(long, value_name = "TOKEN", default_value = "simple", env = "ETCD_AUTH_TOKEN", help_heading = "Security")]
    pub auth_token: String,
    /// Seconds that a simple token lives after each use.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, env = "ETCD_AUTH_TOKEN_TTL", help_heading = "Security")]
    pub auth_token_ttl: u64,
    /// How slow hashing a password is: each step doubles it.
    #[arg(
        long,
        value_name = "COST",
        default_value_t = password::COST,
        value_parser = clap::value_parser!(u32).range(password::COST_MIN as i64..=password::COST_MAX as i64),
        env = "ETCD_BCRYPT_COST",
        help_heading = "Security"
    )]
    pub bcrypt_cost: u32,
    /// CA of the other members.
    #[arg(long, value_name = "FILE", env = "ETCD_PEER_TRUSTED_CA_FILE", help_heading = "Security")]
    pub peer_trusted_ca_file: Option<PathBuf>,
    /// Only members whose certificate has one of these CNs are served.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        env = "ETCD_PEER_CERT_ALLOWED_CN",
        help_heading = "Security"
    )]
    pub peer_cert_allowed_cn: Vec<String>,
    /// Only members whose certificate is valid for one of these hosts are served.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        env = "ETCD_PEER_CERT_ALLOWED_HOSTNAME",
        help_heading = "Security"
    )]
    pub peer_cert_allowed_hostname: Vec<String>,
}

impl SecurityFlags {
    /// How callers are known; reads the keys of tokens.
    pub fn login(&self) -> Result<Login, ConfigError> {
        Ok(Login::new(Provider::load(&self.auth_token)?, self.bcrypt_cost, self.client_cert_auth))
    }

    /// Refuses flags that nobody would be kept out by, naming what is missing.
    pub fn check(&self) -> Result<(), ConfigError> {
        // A list of names is worth nothing where nobody shows a certificate.
        let lists = [
            ("--client-cert-allowed-hostname", &self.client_cert_allowed_hostname, "--trusted-ca-file"),
            ("--peer-cert-allowed-cn", &self.peer_cert_allowed_cn, "--peer-trusted-ca-file"),
            ("--peer-cert-allowed-hostname", &self.peer_cert_allowed_hostname, "--peer-trusted-ca-file"),
        ];
        for (flag, names, needed) in lists {
            let ca = if needed.starts_with("--peer") { &self.peer_trusted_ca_file } else { &self.trusted_ca_file };
            if !names.is_empty() && ca.is_none() {
                return Err(ConfigError::NoCa { flag, needed });
            }
        }
        if self.client_cert_auth && self.trusted_ca_file.is_none() {
            return Err(ConfigError::NoCa { flag: "--client-cert-auth", needed: "--trusted-ca-file" });
        }
        if self.peer_client_cert_auth && self.peer_trusted_ca_file.is_none() {
            return Err(ConfigError::NoCa { flag: "--peer-client-cert-auth", needed: "--peer-trusted-ca-file" });
        }
        Ok(())
    }
}
